//! Draining with a deadline: each session leaves at its own time, which is the same on every proxy, and not before.

use crate::{NOW, balancer, ring, upstream, upstreams, visit};
use homing::{Affinity, Balancer, Decision, HealthSettings, OnUnavailable, PinLoss, Request, Timestamp, Token};
use std::collections::HashMap;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

fn spread() -> Duration {
    HealthSettings::default().drain_spread
}

/// Sessions of `app-1`.
fn sessions(balancer: &Balancer, count: usize) -> Vec<Token> {
    let visits = std::iter::repeat_with(|| visit(balancer));
    visits.filter(|(pick, _)| pick.upstream().name() == "app-1").map(|(_, token)| token).take(count).collect()
}

fn visit_at(balancer: &Balancer, token: &Token, now: Timestamp) -> (String, Decision) {
    let pick = balancer.pick(&Request::new(now).tokens(&[token.as_bytes()]).no_wait()).unwrap();
    (pick.upstream().name().to_owned(), pick.decision)
}

#[test]
fn each_session_leaves_at_its_own_deadline() {
    let balancer = balancer(upstreams(4));
    let sessions = sessions(&balancer, 300);
    balancer.drain("app-1", Some(DEADLINE), NOW).unwrap();
    let leaves = NOW.after(DEADLINE);
    let mut halfway = 0;
    for token in &sessions {
        let moment = upstream(&balancer, "app-1").drain_deadline(crate::session_id(token)).unwrap();
        assert!(moment >= leaves && moment <= leaves.after(spread()));
        let before = moment.before(Duration::from_millis(1));
        assert_eq!(visit_at(&balancer, token, before), ("app-1".into(), Decision::Pinned));
        let (to, decision) = visit_at(&balancer, token, moment);
        assert_eq!(decision, Decision::PinLost(PinLoss::Drained));
        assert_ne!(to, "app-1");
        halfway += u32::from(moment < leaves.after(spread() / 2));
    }
    assert!((110..190).contains(&halfway), "{halfway} of 300 leave in the first half");
    // After the spread it serves no session, and the reason is still the drain.
    balancer.tick(leaves.after(spread()));
    let last = visit_at(&balancer, &sessions[0], leaves.after(spread()));
    assert_eq!(last.1, Decision::PinLost(PinLoss::Drained));
}

#[test]
fn without_a_deadline_or_after_a_resume_no_session_leaves() {
    let balancer = balancer(upstreams(4));
    let sessions = sessions(&balancer, 50);
    let late = NOW.after(DEADLINE + spread());
    let all_stay = || sessions.iter().all(|token| visit_at(&balancer, token, late).1 == Decision::Pinned);
    balancer.drain("app-1", None, NOW).unwrap();
    assert!(all_stay());
    balancer.drain("app-1", Some(DEADLINE), NOW).unwrap();
    assert!(!all_stay(), "the control: with a deadline they leave");
    balancer.resume("app-1", NOW).unwrap();
    assert!(all_stay());
}

#[test]
fn proxies_agree_on_the_deadline_and_the_failover_target() {
    let (here, mut configs) = (balancer(upstreams(12)), upstreams(12));
    configs.reverse();
    let there = balancer(configs);
    let sessions = sessions(&here, 200);
    for proxy in [&here, &there] {
        proxy.drain("app-1", Some(DEADLINE), NOW).unwrap();
    }
    let mut failover_targets = HashMap::<String, usize>::new();
    for (token, step) in sessions.iter().zip(0..) {
        let now = NOW.after(DEADLINE + spread() * step / 200);
        let (to, decision) = visit_at(&here, token, now);
        assert_eq!(visit_at(&there, token, now), (to.clone(), decision));
        if decision != Decision::Pinned {
            *failover_targets.entry(to).or_default() += 1;
        }
    }
    assert_eq!(failover_targets.len(), 11, "they spread over all that are left: {failover_targets:?}");
}

#[test]
fn a_draining_upstream_is_no_failover_target() {
    let balancer = balancer(upstreams(3));
    let sessions = sessions(&balancer, 100);
    for name in ["app-1", "app-2"] {
        balancer.drain(name, Some(Duration::ZERO), NOW).unwrap();
    }
    let late = NOW.after(spread());
    assert!(sessions.iter().all(|token| visit_at(&balancer, token, late).0 == "app-3"));
}

#[test]
fn no_session_is_rejected_for_an_upstream_that_is_drained() {
    let rejecting = Affinity::builder(ring(0, &[])).on_unavailable(OnUnavailable::Reject).build().unwrap();
    let balancer = crate::balancer_with(upstreams(2), rejecting);
    let sessions = sessions(&balancer, 10);
    balancer.drain("app-1", Some(Duration::ZERO), NOW).unwrap();
    let moved = visit_at(&balancer, &sessions[0], NOW.after(spread()));
    assert_eq!(moved, ("app-2".into(), Decision::PinLost(PinLoss::Drained)));
}
