//! A token is set again only when its content changes.

use crate::{NOW, balancer, pick, ring, session_id, upstream, upstreams, visit};
use homing::{Affinity, Availability, Balancer, Decision, PinLoss, Request, Timestamp, Token};
use std::time::Duration;

fn at(balancer: &Balancer, now: Timestamp, token: &Token) -> homing::Pick {
    balancer.pick(&Request::new(now).tokens(&[token.as_bytes()])).unwrap()
}

#[test]
fn a_token_is_set_once_per_window() {
    let balancer = balancer(upstreams(3));
    let (first, mut token) = visit(&balancer);
    let mut sent = Vec::new();
    // One request per second for half an hour; windows are 128 s long.
    for second in 0..1800 {
        let pick = at(&balancer, NOW.after(Duration::from_secs(second)), &token);
        assert_eq!((pick.decision, pick.upstream().id()), (Decision::Pinned, first.upstream().id()));
        if let Some(next) = pick.token {
            assert_eq!(session_id(&next), session_id(&token), "the session changed its session_id");
            token = next;
            sent.push(second);
        }
    }
    assert_eq!(sent, (1..).map(|window| window * 128).take_while(|s| *s < 1800).collect::<Vec<u64>>());
}

#[test]
fn a_busy_session_outlives_the_idle_age_and_ends_at_its_absolute_age() {
    let balancer = balancer(upstreams(3));
    let mut token = visit(&balancer).1;
    for minute in 1..12 * 60 {
        let pick = at(&balancer, NOW.after(Duration::from_secs(minute * 60)), &token);
        assert_eq!(pick.decision, Decision::Pinned, "minute {minute}");
        token = pick.token.unwrap_or(token);
    }
    let end = at(&balancer, NOW.after(Duration::from_secs(12 * 3600)), &token);
    assert_eq!(end.decision, Decision::PinLost(PinLoss::Expired));
    assert_ne!(session_id(&end.token.unwrap()), session_id(&token), "an expired session starts as a new one");
}

#[test]
fn a_clock_that_goes_back_sets_no_token_and_shortens_no_session() {
    let balancer = balancer(upstreams(3));
    let token = visit(&balancer).1;
    let later = NOW.after(Duration::from_secs(1000));
    let token = at(&balancer, later, &token).token.unwrap();
    for back in [0, 10, 500, 999] {
        let pick = at(&balancer, NOW.after(Duration::from_secs(back)), &token);
        assert_eq!((pick.decision, pick.token), (Decision::Pinned, None), "at +{back} s");
    }
    assert_eq!(at(&balancer, later.after(Duration::from_secs(1799)), &token).decision, Decision::Pinned);
}

#[test]
fn a_move_sets_one_token_and_the_session_does_not_move_back() {
    let balancer = balancer(upstreams(5));
    let mut token = visit(&balancer).1;
    let first = session_id(&token);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let pinned = pick(&balancer, &[token.as_bytes()]).upstream().clone();
        pinned.set_availability(Availability::DOWN);
        let moved = pick(&balancer, &[token.as_bytes()]);
        assert_eq!(moved.decision, Decision::PinLost(PinLoss::NotServing));
        token = moved.token.unwrap();
        assert_eq!(session_id(&token), first, "the session changed its session_id on its way");
        let settled = pick(&balancer, &[token.as_bytes()]);
        assert_eq!((settled.decision, settled.token), (Decision::Pinned, None));
        assert_eq!(settled.upstream().id(), moved.upstream().id());
        seen.push(pinned.name().to_owned());
    }
    // It does not move back when the upstreams return.
    for name in &seen {
        upstream(&balancer, name).set_availability(Availability::ACTIVE);
    }
    let last = pick(&balancer, &[token.as_bytes()]);
    assert_eq!((last.decision, last.token), (Decision::Pinned, None));
    assert!(!seen.contains(&last.upstream().name().to_owned()));
}

#[test]
fn a_lost_session_gets_a_token_of_its_new_upstream() {
    let balancer = balancer(upstreams(3));
    let pick_ = pick(&balancer, &[b"not a token"]);
    let token = pick_.token.unwrap();
    let again = pick(&balancer, &[token.as_bytes()]);
    assert_eq!((again.decision, again.token), (Decision::Pinned, None));
    assert_eq!(again.upstream().id(), pick_.upstream().id());
}

#[test]
fn a_new_signing_key_replaces_each_token_once() {
    let balancer = balancer(upstreams(3));
    let old = visit(&balancer).1;
    balancer.set_keys(ring(1, &[0])).unwrap();
    let moved = pick(&balancer, &[old.as_bytes()]);
    assert_eq!(moved.decision, Decision::Pinned);
    let new = moved.token.unwrap();
    assert_eq!(session_id(&new), session_id(&old));
    let settled = pick(&balancer, &[new.as_bytes()]);
    assert_eq!((settled.decision, settled.token), (Decision::Pinned, None));
}

#[test]
fn by_default_a_session_has_no_idle_age() {
    let balancer = crate::balancer_with(upstreams(2), Affinity::builder(ring(0, &[])).build().unwrap());
    let token = visit(&balancer).1;
    let end = 12 * 3600;
    for second in [1800, 2 * 3600, end - 1] {
        let decision = at(&balancer, NOW.after(Duration::from_secs(second)), &token).decision;
        assert_eq!(decision, Decision::Pinned, "at +{second} s");
    }
    let decision = at(&balancer, NOW.after(Duration::from_secs(end)), &token).decision;
    assert_eq!(decision, Decision::PinLost(PinLoss::Expired));
}

#[test]
fn by_default_a_token_is_set_once_per_window_too() {
    let balancer = crate::balancer_with(upstreams(2), Affinity::builder(ring(0, &[])).build().unwrap());
    let token = visit(&balancer).1;
    let sent = |second: u64| at(&balancer, NOW.after(Duration::from_secs(second)), &token).token.is_some();
    assert_eq!([0, 127, 128, 12 * 3600 - 1].map(sent), [false, false, true, true]);
}

#[test]
fn session_ids_differ() {
    let balancer = balancer(upstreams(2));
    let session_ids: std::collections::HashSet<u64> = (0..10_000).map(|_| session_id(&visit(&balancer).1)).collect();
    assert_eq!(session_ids.len(), 10_000);
}
