//! Sessions of an upstream that is down: they wait for its return, then move at the rate that the failover targets
//! admit.

use crate::{NOW, ring, upstream, upstreams, visit};
use homing::health::{Failover, Outcome, ProbeResult};
use homing::rng::SeededEntropy;
use homing::{
    Affinity, Availability, Balancer, Decision, HealthSettings, OnUnavailable, Pick, PickError, PinLoss, Request,
    Timestamp, Token, Wait,
};
use std::collections::BTreeMap;
use std::time::Duration;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn proxy_with(count: usize, failover: Failover, affinity: Affinity) -> Balancer {
    Balancer::builder()
        .upstreams(upstreams(count))
        .policy("round_robin")
        .affinity(affinity)
        .health(HealthSettings::default().failover(failover))
        .entropy(SeededEntropy::new(7))
        .build()
        .unwrap()
}

fn proxy(count: usize, rate: u32, return_timeout: Duration) -> Balancer {
    proxy_with(
        count,
        Failover::default().rate(rate).return_timeout(return_timeout),
        Affinity::builder(ring(0, &[])).build().unwrap(),
    )
}

/// Sessions of `app-1`.
fn sessions(balancer: &Balancer, count: usize) -> Vec<Token> {
    let visits = std::iter::repeat_with(|| visit(balancer));
    visits.filter(|(pick, _)| pick.upstream().name() == "app-1").map(|(_, token)| token).take(count).collect()
}

fn come(balancer: &Balancer, token: &Token, now: Timestamp) -> Result<Pick, PickError> {
    balancer.pick(&Request::new(now).tokens(&[token.as_bytes()]))
}

/// When the pick is to be repeated, and the reason to wait.
fn waits(pick: Result<Pick, PickError>) -> Option<(Timestamp, Wait)> {
    match pick {
        Err(PickError::Later { at, reason }) => Some((at, reason)),
        _ => None,
    }
}

#[test]
fn sessions_wait_for_an_upstream_that_may_return() {
    let balancer = proxy(3, 0, millis(5000));
    let token = sessions(&balancer, 1)[0];
    let pinned = upstream(&balancer, "app-1");
    balancer.report(&pinned, Outcome::ConnectRefused, NOW);
    let back = NOW.after(millis(5000));
    for at in [0, 1, 4999] {
        assert_eq!(waits(come(&balancer, &token, NOW.after(millis(at)))), Some((back, Wait::UpstreamReturn)));
    }
    let moved = come(&balancer, &token, back).unwrap();
    assert_eq!(moved.decision, Decision::PinLost(PinLoss::NotServing));

    // The upstream returns, and its sessions are pinned to it.
    let again = NOW.after(millis(2000));
    for _ in 0..2 {
        balancer.probe(pinned.id(), ProbeResult::Passed, again);
    }
    assert_eq!(come(&balancer, &token, again).unwrap().decision, Decision::Pinned);
}

#[test]
fn the_request_that_found_it_down_waits_too() {
    let balancer = proxy(3, 0, millis(5000));
    let token = sessions(&balancer, 1)[0];
    let pinned = upstream(&balancer, "app-1");
    let tried = [pinned.id()];
    let (tokens, now) = ([token.as_bytes()], NOW.after(millis(10)));
    let request = Request::new(now).tokens(&tokens).tried(&tried);
    assert_eq!(balancer.pick(&request).unwrap().decision, Decision::PinLost(PinLoss::NotServing), "there is no proof");
    balancer.report(&pinned, Outcome::ConnectRefused, NOW);
    assert_eq!(waits(balancer.pick(&request)), Some((NOW.after(millis(5000)), Wait::UpstreamReturn)));
}

#[test]
fn a_request_that_cannot_wait_is_moved_at_once() {
    let balancer = proxy(3, 1, millis(5000));
    let sessions = sessions(&balancer, 20);
    balancer.report(&upstream(&balancer, "app-1"), Outcome::ConnectRefused, NOW);
    for token in &sessions {
        let pick = balancer.pick(&Request::new(NOW).tokens(&[token.as_bytes()]).no_wait()).unwrap();
        assert_eq!(pick.decision, Decision::PinLost(PinLoss::NotServing));
    }
}

#[test]
fn only_displaced_sessions_wait_and_only_on_proof() {
    let balancer = proxy(3, 0, millis(5000));
    let token = sessions(&balancer, 1)[0];
    // An availability that the host set itself says nothing about a return.
    upstream(&balancer, "app-1").set_availability(Availability::DOWN);
    assert_eq!(come(&balancer, &token, NOW).unwrap().decision, Decision::PinLost(PinLoss::NotServing));
    balancer.report(&upstream(&balancer, "app-1"), Outcome::ConnectRefused, NOW);
    assert!(balancer.pick(&Request::new(NOW)).is_ok(), "a new session does not wait");
    // With `Reject` sessions are not moved, so they are rejected and do not wait.
    let rejecting = Affinity::builder(ring(0, &[])).on_unavailable(OnUnavailable::Reject).build().unwrap();
    let balancer = proxy_with(3, Failover::default().rate(0).return_timeout(millis(5000)), rejecting);
    let token = sessions(&balancer, 1)[0];
    balancer.report(&upstream(&balancer, "app-1"), Outcome::ConnectRefused, NOW);
    assert!(matches!(come(&balancer, &token, NOW), Err(PickError::Rejected(PinLoss::NotServing))));
}

/// How many of `sessions` have moved to each failover target by each tenth of a second, if each is retried at the time
/// that its pick returned.
fn moves(balancer: &Balancer, sessions: &[Token], from: Timestamp) -> Vec<BTreeMap<String, usize>> {
    let mut asks: Vec<_> = sessions.iter().map(|token| (from, token)).collect();
    let mut moved = BTreeMap::<String, usize>::new();
    let mut by_then = Vec::new();
    for tenth in 1.. {
        let end = from.after(millis(100 * tenth));
        while let Some(next) = asks.iter().map(|(at, _)| *at).min().filter(|at| *at < end) {
            for (at, token) in asks.iter_mut().filter(|(at, _)| *at == next) {
                match come(balancer, token, next) {
                    Ok(pick) => {
                        assert_eq!(pick.decision, Decision::PinLost(PinLoss::NotServing));
                        *moved.entry(pick.upstream().name().to_owned()).or_default() += 1;
                        *at = Timestamp::from_millis(u64::MAX);
                    }
                    Err(PickError::Later { at: later, reason: Wait::Admission }) => {
                        assert!(later > next, "asked to ask at once");
                        *at = later;
                    }
                    Err(other) => unreachable!("{other}"),
                }
            }
            asks.retain(|(at, _)| *at != Timestamp::from_millis(u64::MAX));
        }
        by_then.push(moved.clone());
        if asks.is_empty() {
            return by_then;
        }
    }
    by_then
}

#[test]
fn each_failover_target_admits_sessions_at_its_rate() {
    const RATE: usize = 100;
    let balancer = proxy(3, RATE as u32, Duration::ZERO);
    let sessions = sessions(&balancer, 2000);
    upstream(&balancer, "app-1").set_availability(Availability::DOWN);
    let by_then = moves(&balancer, &sessions, NOW);
    for (tenths, moved) in (1..).zip(&by_then) {
        for (name, count) in moved {
            let most = RATE / 4 + RATE * tenths / 10 + 1;
            assert!(*count <= most, "{name} took {count} in {tenths} tenths of a second, of {most}");
        }
    }
    // About a thousand each, and no time is wasted: ten seconds, and a few tenths for an uneven split.
    let last = by_then.last().unwrap();
    assert_eq!((last.len(), last.values().sum::<usize>()), (2, 2000));
    let most = *last.values().max().unwrap();
    assert!(by_then.len() <= most * 10 / RATE + 5, "{most} sessions took {} tenths", by_then.len());

    // The control: without a limit all move at once.
    let balancer = proxy(3, 0, Duration::ZERO);
    let sessions = self::sessions(&balancer, 2000);
    upstream(&balancer, "app-1").set_availability(Availability::DOWN);
    assert_eq!(moves(&balancer, &sessions, NOW).len(), 1);
}

#[test]
fn a_session_waits_for_its_own_failover_target_and_takes_no_other() {
    let (paced, free) = (proxy(5, 50, Duration::ZERO), proxy(5, 0, Duration::ZERO));
    let sessions = sessions(&paced, 400);
    let placed = |balancer: &Balancer, now: Timestamp| -> Vec<_> {
        let name = |pick: Result<Pick, PickError>| pick.ok().map(|pick| pick.upstream().name().to_owned());
        sessions.iter().map(|token| name(come(balancer, token, now))).collect()
    };
    for balancer in [&paced, &free] {
        upstream(balancer, "app-1").set_availability(Availability::DOWN);
    }
    let (paced, free) = (placed(&paced, NOW), placed(&free, NOW));
    assert!(paced.iter().any(Option::is_none) && free.iter().all(Option::is_some));
    let agree = paced.iter().zip(&free).filter(|(paced, _)| paced.is_some()).all(|(paced, free)| paced == free);
    assert!(agree, "a paced session went elsewhere");
}

#[test]
fn a_clock_that_goes_back_delays_no_session_for_long() {
    let balancer = proxy(2, 10, Duration::ZERO);
    let sessions = sessions(&balancer, 40);
    upstream(&balancer, "app-1").set_availability(Availability::DOWN);
    let ahead = NOW.after(Duration::from_secs(600));
    assert!(sessions.iter().any(|token| waits(come(&balancer, token, ahead)).is_some()));
    assert!(come(&balancer, &sessions[0], NOW).is_ok());
}

/// A request may carry a time slightly before the one at which another request found the upstream down.
#[test]
fn without_a_return_timeout_sessions_move_at_once() {
    let balancer = proxy(3, 0, Duration::ZERO);
    let token = sessions(&balancer, 1).remove(0);
    let pinned = std::sync::Arc::clone(balancer.cluster().find_name("app-1").unwrap().upstream());
    balancer.report(&pinned, Outcome::ConnectRefused, NOW.after(millis(5)));
    assert_eq!(come(&balancer, &token, NOW).unwrap().decision, Decision::PinLost(PinLoss::NotServing));
}
