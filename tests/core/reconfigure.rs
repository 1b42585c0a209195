//! New settings for a running balancer: what they change, and what they keep.

use super::{NOW, balancer, pick, ring, upstream, upstreams, visit};
use homing::affinity::Rebalance;
use homing::balancer::{BalancerBuilder, ReconfigureError, Step};
use homing::health::{Failover, Outcome, SlowStart, State};
use homing::policy::Params;
use homing::{Affinity, Balancer, Decision, HealthSettings, OnUnavailable, PickError, PinLoss, Request, Wait};
use std::time::Duration;

fn affinity() -> Affinity {
    Affinity::builder(ring(0, &[])).build().unwrap()
}

fn settings() -> BalancerBuilder {
    Balancer::builder().policy("round_robin").affinity(affinity())
}

fn policy_of(balancer: &Balancer) -> String {
    let steps = balancer.explain(&Request::new(NOW)).steps;
    let placed = steps.into_iter().find_map(|step| match step {
        Step::Placed { policy, .. } => Some(policy),
        _ => None,
    });
    placed.unwrap()
}

#[test]
fn sessions_counts_states_drains_and_leases_are_kept() {
    let balancer = balancer(upstreams(3));
    let sessions: Vec<_> = (0..9).map(|_| visit(&balancer)).collect();
    balancer.tick(NOW);
    balancer.drain("app-2", None, NOW).unwrap();
    balancer.report(&upstream(&balancer, "app-3"), Outcome::ConnectRefused, NOW);
    let before = balancer.status();
    let from = balancer.generation();

    let to = balancer.reconfigure(settings().policy("p2c")).unwrap();
    assert!(to > from);
    assert_eq!(balancer.status(), before);
    assert_eq!(
        before.iter().map(|status| status.state).collect::<Vec<_>>(),
        [State::Active, State::Draining, State::Down]
    );
    for (lease, token) in &sessions {
        let name = lease.upstream().name();
        assert!(std::ptr::eq(&**lease.upstream(), &*upstream(&balancer, name)), "the same cell counts on");
        if name != "app-3" {
            let again = pick(&balancer, &[token.as_bytes()]);
            assert_eq!((again.upstream().name(), again.decision), (name, Decision::Pinned));
        }
    }
    assert_eq!(upstream(&balancer, "app-1").in_flight(), 3);
    assert_eq!(upstream(&balancer, "app-1").decided(Decision::Pinned), 3);
    assert_eq!(upstream(&balancer, "app-1").live_sessions(NOW), 3);
    drop(sessions);
    assert_eq!(upstream(&balancer, "app-1").in_flight(), 0);
}

#[test]
fn another_policy_places_from_then_on() {
    let balancer = balancer(upstreams(4));
    assert_eq!(policy_of(&balancer), "round_robin");
    balancer.reconfigure(settings().policy_params("rendezvous", Params::new().with("slots", 4096))).unwrap();
    assert_eq!(policy_of(&balancer), "rendezvous");
    let keyed = |key: &[u8]| balancer.pick(&Request::new(NOW).key(key)).unwrap().upstream().name().to_owned();
    assert_eq!(keyed(b"one"), keyed(b"one"));
    assert!((0..50_u8).map(|n| keyed(&[n])).any(|name| name != keyed(b"one")));
}

#[test]
fn what_happens_to_displaced_sessions_changes_at_once() {
    let balancer = balancer(upstreams(2));
    balancer.tick(NOW);
    let (lease, token) = visit(&balancer);
    balancer.report(lease.upstream(), Outcome::ConnectRefused, NOW);
    let tokens = [token.as_bytes()];
    let decide_at = |now| balancer.pick(&Request::new(now).tokens(&tokens)).map(|pick| pick.decision);
    let decide = || decide_at(NOW);
    let failover = |rate, return_timeout| {
        let failover = Failover::default().rate(rate).return_timeout(return_timeout);
        settings().health(HealthSettings::default().failover(failover))
    };
    assert!(matches!(decide(), Ok(Decision::PinLost(PinLoss::NotServing))));
    balancer.reconfigure(failover(500, Duration::from_secs(60))).unwrap();
    assert!(matches!(decide(), Err(PickError::Later { reason: Wait::UpstreamReturn, .. })));
    // One session per second, which the first pick uses up.
    balancer.reconfigure(failover(1, Duration::ZERO)).unwrap();
    let paced: Vec<_> = (0..3).map(|_| decide()).collect();
    assert!(paced.iter().any(|decided| matches!(decided, Err(PickError::Later { reason: Wait::Admission, .. }))));
    let reject = Affinity::builder(ring(0, &[])).on_unavailable(OnUnavailable::Reject).build().unwrap();
    balancer.reconfigure(settings().affinity(reject)).unwrap();
    assert!(matches!(decide(), Err(PickError::Rejected(PinLoss::NotServing))));
    balancer.reconfigure(settings()).unwrap();
    assert!(matches!(decide_at(NOW.after(Duration::from_secs(9))), Ok(Decision::PinLost(PinLoss::NotServing))));
}

#[test]
fn slow_start_ends_after_its_window() {
    let balancer = balancer(upstreams(2));
    balancer.tick(NOW);
    let more = upstreams(3).pop().map(homing::Change::Put);
    balancer.apply(balancer.plan(more.as_slice()).unwrap()).unwrap();
    let state = || balancer.status()[2].state;
    balancer.tick(NOW.after(Duration::from_secs(1)));
    assert_eq!(state(), State::SlowStart);
    let slow_start = SlowStart::default().window(Duration::ZERO);
    balancer.reconfigure(settings().health(HealthSettings::default().slow_start(slow_start))).unwrap();
    balancer.tick(NOW.after(Duration::from_secs(1)));
    assert_eq!(state(), State::Active);
}

#[test]
fn rebalancing_begins_and_ends() {
    let balancer = balancer(upstreams(1));
    balancer.tick(NOW);
    let mut tokens: Vec<_> = (0..300).map(|_| visit(&balancer).1).collect();
    let more = upstreams(2).pop().map(homing::Change::Put);
    balancer.apply(balancer.plan(more.as_slice()).unwrap()).unwrap();
    let mut second = 0;
    let mut moved = || {
        let mut moved = 0;
        for _ in 0..60 {
            second += 1;
            let now = NOW.after(Duration::from_secs(second));
            balancer.tick(now);
            for token in &mut tokens {
                let pick = balancer.pick(&Request::new(now).tokens(&[token.as_bytes()])).unwrap();
                moved += u32::from(pick.decision == Decision::PinLost(PinLoss::Rebalanced));
                *token = pick.token.unwrap_or(*token);
            }
        }
        moved
    };
    assert_eq!(moved(), 0);
    balancer.reconfigure(settings().rebalance(Rebalance::default().budget_per_minute(30))).unwrap();
    assert!(moved() > 0);
    balancer.reconfigure(settings()).unwrap();
    assert_eq!(moved(), 0);
}

#[test]
fn keys_change_over_with_the_settings() {
    let balancer = balancer(upstreams(2));
    let (lease, token) = visit(&balancer);
    balancer.reconfigure(settings().affinity(Affinity::builder(ring(1, &[0])).build().unwrap())).unwrap();
    let again = pick(&balancer, &[token.as_bytes()]);
    assert_eq!((again.upstream().name(), again.decision), (lease.upstream().name(), Decision::Pinned));
    assert!(again.token.is_some(), "the other key signs");
}

#[test]
fn settings_that_cannot_change_are_refused_and_change_nothing() {
    let balancer = balancer(upstreams(2));
    let generation = balancer.generation();
    let refused = |builder: BalancerBuilder| {
        let error = balancer.reconfigure(builder).unwrap_err();
        assert_eq!((balancer.generation(), policy_of(&balancer).as_str()), (generation, "round_robin"), "{error}");
        error
    };
    let strange = homing::KeyRing::builder("pool", [7; 32]).sign_with(0, [1; 32]).build().unwrap();
    let other_keys = Affinity::builder(strange).build().unwrap();
    let other_window = Affinity::builder(ring(0, &[])).live_window(Duration::from_secs(256)).build().unwrap();
    let bad_health = HealthSettings::default().slow_start(SlowStart::default().min(2.0));
    assert!(matches!(refused(Balancer::builder().policy("p2c")), ReconfigureError::Affinity));
    assert!(matches!(refused(settings().policy("p2c").affinity(other_keys)), ReconfigureError::Keys(_)));
    assert!(matches!(refused(settings().policy("p2c").affinity(other_window)), ReconfigureError::LiveWindow));
    assert!(matches!(refused(settings().policy("no such")), ReconfigureError::Invalid(_)));
    assert!(matches!(refused(settings().policy("p2c").health(bad_health)), ReconfigureError::Invalid(_)));
    let without = Balancer::builder().upstreams(upstreams(1)).build().unwrap();
    assert!(matches!(without.reconfigure(settings()), Err(ReconfigureError::Affinity)));
    without.reconfigure(Balancer::builder().policy("p2c")).unwrap();
    assert_eq!(policy_of(&without), "p2c");
}
