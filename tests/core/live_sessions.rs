//! Live sessions as a balancer counts them: every pick with a session counts once, on the upstream that was picked.

use crate::{NOW, balancer, balancer_with, ring, upstream, upstreams, visit};
use homing::rng::SeededEntropy;
use homing::{Affinity, Availability, Balancer, Change, Decision, Request, Timestamp, Token, UpstreamConfig};
use std::sync::Arc;
use std::time::Duration;

/// The default window of an affinity, in seconds.
const WINDOW: u64 = 128;

fn live(balancer: &Balancer, now: Timestamp) -> Vec<u32> {
    balancer.cluster().members().iter().map(|member| member.upstream().live_sessions(now)).collect()
}

fn later(secs: u64) -> Timestamp {
    NOW.after(Duration::from_secs(secs))
}

fn come_again(balancer: &Balancer, sessions: &[Token], now: Timestamp) {
    for token in sessions {
        balancer.pick(&Request::new(now).tokens(&[token.as_bytes()])).unwrap();
    }
}

/// Linear counting has an error of about a percent of a hundred sessions.
fn near(counts: &[u32], expected: &[u32]) -> bool {
    counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(*expected) <= expected.div_ceil(20))
}

#[test]
fn new_sessions_count_at_once_and_known_ones_on_every_proxy() {
    let here = balancer(upstreams(3));
    let sessions: Vec<Token> = (0..300).map(|_| visit(&here).1).collect();
    assert!(near(&live(&here, NOW), &[100, 100, 100]), "{:?}", live(&here, NOW));
    for _ in 0..5 {
        come_again(&here, &sessions, later(1));
    }
    assert!(near(&live(&here, later(1)), &[100, 100, 100]), "more requests are not more sessions");

    let other = balancer(upstreams(3));
    assert_eq!(live(&other, NOW), [0, 0, 0]);
    come_again(&other, &sessions, NOW);
    assert_eq!(live(&other, NOW), live(&here, NOW), "a slot is the session_id's, so proxies agree");
}

#[test]
fn a_session_without_requests_is_forgotten_and_one_with_requests_is_not() {
    let balancer = balancer(upstreams(2));
    let sessions: Vec<Token> = (0..400).map(|_| visit(&balancer).1).collect();
    let start = NOW.as_secs() - NOW.as_secs() % WINDOW;
    let at = |windows: u64| Timestamp::from_secs(start + windows * WINDOW);
    come_again(&balancer, &sessions[..100], at(1));
    assert!(near(&live(&balancer, at(1)), &[200, 200]));
    come_again(&balancer, &sessions[..100], at(2));
    assert!(near(&live(&balancer, at(2)), &[50, 50]), "{:?}", live(&balancer, at(2)));
    assert!(near(&live(&balancer, at(3)), &[50, 50]));
    assert_eq!(live(&balancer, at(4)), [0, 0]);
}

#[test]
fn the_window_is_configured() {
    let affinity = |window| Affinity::builder(ring(0, &[])).live_window(Duration::from_secs(window)).build();
    let balancer = balancer_with(upstreams(1), affinity(3600).unwrap());
    visit(&balancer);
    // 2048 s, the power of two below.
    let start = NOW.as_secs() - NOW.as_secs() % 2048;
    assert_eq!(live(&balancer, Timestamp::from_secs(start + 2 * 2048 - 1)), [1]);
    assert_eq!(live(&balancer, Timestamp::from_secs(start + 2 * 2048)), [0]);
    let refusal = affinity(0).unwrap_err().to_string();
    assert!(refusal.starts_with("live_window must be"), "{refusal}");
}

#[test]
fn a_session_that_moves_counts_on_its_new_upstream() {
    let balancer = balancer(upstreams(2));
    let sessions: Vec<Token> = (0..200).map(|_| visit(&balancer).1).collect();
    upstream(&balancer, "app-1").set_availability(Availability::DOWN);
    come_again(&balancer, &sessions, NOW);
    assert!(near(&live(&balancer, NOW), &[100, 200]));
    come_again(&balancer, &sessions, later(2 * WINDOW));
    assert_eq!(live(&balancer, later(2 * WINDOW))[0], 0, "and is forgotten where it was");
}

#[test]
fn counts_outlive_changes_but_not_a_new_address() {
    let balancer = balancer(upstreams(2));
    (0..100).for_each(|_| drop(visit(&balancer)));
    let change = |config: UpstreamConfig| balancer.apply(balancer.plan(&[Change::Put(config)]).unwrap()).unwrap();
    change(UpstreamConfig::new("app-3", "10.0.0.3:8080"));
    change(UpstreamConfig::new("app-1", "10.0.0.1:8080").weight(9));
    assert!(near(&live(&balancer, NOW), &[50, 50, 0]));
    change(UpstreamConfig::new("app-1", "10.0.9.9:8080"));
    assert!(near(&live(&balancer, NOW), &[0, 50, 0]));
}

#[test]
fn without_affinity_nothing_is_a_session() {
    let balancer = Balancer::builder().upstreams(upstreams(2)).policy("least_sessions").build().unwrap();
    for _ in 0..100 {
        assert_eq!(balancer.pick(&Request::new(NOW)).unwrap().decision, Decision::New);
    }
    assert_eq!(live(&balancer, NOW), [0, 0]);
}

/// The most and the fewest sessions on one of ten upstreams after a burst of 2000 new sessions, each of one short
/// request.
fn burst(policy: &str) -> (u32, u32) {
    let balancer = Balancer::builder()
        .upstreams(upstreams(10))
        .policy(policy)
        .affinity(Affinity::builder(ring(0, &[])).build().unwrap())
        .entropy(SeededEntropy::new(3))
        .build()
        .unwrap();
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..2000 {
        *counts.entry(visit(&balancer).0.upstream().name().to_owned()).or_default() += 1;
    }
    (*counts.values().max().unwrap(), *counts.values().min().unwrap())
}

#[test]
fn least_sessions_spreads_a_burst_more_evenly_than_random() {
    let (most, least) = burst("least_sessions");
    assert!(most <= 212 && least >= 188, "{most} and {least}");
    let (most, least) = burst("random");
    assert!(most > 212 || least < 188, "the control is as good: {most} and {least}");
}

#[test]
fn a_guarded_session_is_live_until_its_last_guard_is_dropped() {
    let balancer = balancer(upstreams(1));
    let (held, other) = (visit(&balancer).0, visit(&balancer).0);
    let upstream = Arc::clone(held.upstream());
    let live_in = |window: u64| {
        let now = NOW.after(Duration::from_secs(128 * window));
        balancer.tick(now);
        upstream.live_sessions(now)
    };
    let guards = [upstream.guard_session(held.session_id), upstream.guard_session(held.session_id)];
    assert_ne!(held.session_id, other.session_id);
    let held_session = held.session_id;
    drop((held, other));
    assert_eq!([0, 1, 2, 3].map(live_in), [2, 2, 1, 1]);
    let [first, second] = guards;
    drop(first);
    assert_eq!([4, 5, 6, 100].map(live_in), [1; 4]);
    drop(second);
    assert_eq!([101, 102].map(live_in), [1, 0]);
    // A guard that is dropped at once leaves no live session.
    drop(upstream.guard_session(held_session));
    assert_eq!(live_in(103), 0);
}
