//! A picker decides as its balancer does, follows every change at once, and keeps at most one snapshot alive.

use crate::{NOW, balancer, balancer_with, ring, upstreams};
use homing::affinity::{OnFull, OnUnavailable};
use homing::{Affinity, Availability, Balancer, Change, Decision, Pick, PickError, Picker, Request, Token};
use std::sync::Arc;

/// Everything that one pick says, and how the upstreams count afterwards.
fn told(balancer: &Balancer, pick: Result<Pick, PickError>) -> String {
    let pick = pick.map(|pick| (pick.upstream().name().to_owned(), pick.decision, pick.session_id, pick.token));
    let cluster = balancer.cluster();
    let counts: Vec<_> = cluster.members().iter().map(|member| (member.upstream().total(), member.weight())).collect();
    format!("{pick:?} {counts:?}")
}

/// Two balancers alike, of which one is asked directly and one by a picker.
#[test]
fn a_picker_decides_as_its_balancer_does() {
    let alike = || {
        let affinity = Affinity::builder(ring(0, &[])).on_full(OnFull::Wait).on_unavailable(OnUnavailable::Reject);
        let limited = upstreams(5).into_iter().map(|upstream| upstream.max_in_flight(2)).collect();
        Arc::new(balancer_with(limited, affinity.build().unwrap()))
    };
    let (direct, cached) = (alike(), alike());
    let mut picker = cached.picker();
    let mut tokens: Vec<Token> = Vec::new();
    let mut held = Vec::new();
    for turn in 0..200_usize {
        if turn % 40 == 20 {
            for balancer in [&direct, &cached] {
                let down = Availability { serving: turn % 80 == 60, accepting: turn % 80 == 60 };
                balancer.cluster().members()[turn % 5].upstream().set_availability(down);
                let plan = balancer.plan(&[Change::Put(upstreams(6 + turn / 40).pop().unwrap())]).unwrap();
                balancer.apply(plan).unwrap();
            }
        }
        let known = tokens.get(turn * 7 % 30).cloned();
        let sent: Vec<&[u8]> = known.iter().map(|token| token.as_bytes()).collect();
        let request = Request::new(NOW).tokens(&sent);
        assert_eq!(picker.pinned_upstream(&request), direct.pinned_upstream(&request));
        let (ours, theirs) = (picker.explain(&request), direct.explain(&request));
        assert_eq!(ours, theirs);
        let (ours, theirs) = (picker.open(&request).unwrap(), direct.open(&request).unwrap());
        assert_eq!(ours, theirs);
        let (mine, other) = (picker.pick(&request), direct.pick(&request));
        if let (Ok(mine), Ok(other)) = (&mine, &other) {
            tokens.extend(mine.token);
            let [(lease, token), (same, like)] = [
                (
                    picker.lease(mine.upstream().id(), 1, Decision::New, NOW),
                    picker.token_for(mine.upstream(), 1, &request),
                ),
                (
                    direct.lease(mine.upstream().id(), 1, Decision::New, NOW),
                    direct.token_for(other.upstream(), 1, &request),
                ),
            ];
            assert_eq!((lease.is_ok(), token), (same.is_ok(), like));
            if turn % 3 == 0 {
                held.extend([lease.ok(), same.ok()]);
            }
        }
        assert_eq!(told(&cached, mine), told(&direct, other), "turn {turn}");
        if turn % 9 == 8 {
            held.clear();
        }
    }
    assert!(tokens.len() > 20, "sessions began");
}

#[test]
fn a_picker_sees_a_change_at_its_next_call() {
    let balancer = Arc::new(balancer(upstreams(2)));
    let mut picker = balancer.picker();
    for count in 3..10 {
        let generation = balancer.apply(balancer.plan_to(&upstreams(count)).unwrap()).unwrap();
        assert_eq!(picker.refresh(), generation);
        assert_eq!(picker.view().cluster().len(), count);
    }
    // From another thread.
    std::thread::scope(|scope| {
        scope.spawn(|| balancer.apply(balancer.plan_to(&upstreams(1)).unwrap()).unwrap());
    });
    assert_eq!(picker.pick(&Request::new(NOW)).unwrap().upstream().name(), "app-1");
    let gone = homing::cluster::UpstreamId::from_u64(42);
    assert!(matches!(picker.lease(gone, 1, Decision::New, NOW), Err(PickError::Unavailable)));
}

/// Moves of a picker, and what it keeps alive: the snapshot of its last call and no other.
#[test]
fn an_idle_picker_keeps_one_snapshot_until_it_is_refreshed_or_dropped() {
    fn is_send<T: Send>(_: &T) {}
    let balancer = Arc::new(balancer(upstreams(3)));
    let removed = Arc::downgrade(balancer.cluster().members()[2].upstream());
    let mut idle = balancer.picker();
    is_send(&idle);
    let (other, mut refreshed): (Picker, Picker) = (idle.clone(), idle.clone());
    balancer.apply(balancer.plan_to(&upstreams(2)).unwrap()).unwrap();
    refreshed.refresh();
    assert!(removed.upgrade().is_some(), "two pickers have cached the first snapshot");
    drop(other);
    assert!(removed.upgrade().is_some(), "one has");
    assert_eq!(idle.refresh(), balancer.generation());
    assert!(removed.upgrade().is_none(), "none has");
    assert!(Arc::ptr_eq(idle.balancer(), &balancer));
}
