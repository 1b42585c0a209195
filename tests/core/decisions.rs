//! Every decision, provoked and counted.

use crate::{NOW, balancer, balancer_with, pick, ring, upstream, upstreams, visit};
use homing::affinity::Rebalance;
use homing::{
    Affinity, Availability, Balancer, Change, Decision, HealthSettings, KeyRing, OnFull, OnRestart, OnUnavailable,
    Pick, PickError, PinLoss, Request, Timestamp, UpstreamConfig,
};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// A balancer and one of its picks whose decision is `decision`.
fn provoke(decision: Decision) -> (Balancer, Pick) {
    let two = || balancer(upstreams(2));
    let with_first_text = |text: &dyn Fn(&str) -> String| {
        let balancer = two();
        let token = visit(&balancer).1;
        let pick = pick(&balancer, &[text(token.as_str()).as_bytes()]);
        (balancer, pick)
    };
    let at = |now: Timestamp| {
        let balancer = two();
        let token = visit(&balancer).1;
        let pick = balancer.pick(&Request::new(now).tokens(&[token.as_bytes()])).unwrap();
        (balancer, pick)
    };
    match decision {
        Decision::New => {
            let balancer = two();
            let pick = pick(&balancer, &[]);
            (balancer, pick)
        }
        Decision::Pinned => at(NOW),
        Decision::PinLost(PinLoss::NoSuchUpstream) => {
            let balancer = two();
            let (first, token) = visit(&balancer);
            balancer.apply(balancer.plan(&[Change::Remove(first.upstream().name().into())]).unwrap()).unwrap();
            let pick = pick(&balancer, &[token.as_bytes()]);
            (balancer, pick)
        }
        Decision::PinLost(PinLoss::NotServing) => {
            let balancer = two();
            let (first, token) = visit(&balancer);
            first.upstream().set_availability(Availability::DOWN);
            let pick = pick(&balancer, &[token.as_bytes()]);
            (balancer, pick)
        }
        Decision::PinLost(PinLoss::Full) => {
            let affinity = Affinity::builder(ring(0, &[])).on_full(OnFull::Move).build().unwrap();
            let balancer = balancer_with(upstreams(2).into_iter().map(|u| u.max_in_flight(1)).collect(), affinity);
            let (first, token) = visit(&balancer);
            let pick = pick(&balancer, &[token.as_bytes()]);
            drop(first);
            (balancer, pick)
        }
        Decision::PinLost(PinLoss::OtherIncarnation) => {
            let balancer = two();
            for member in balancer.cluster().members() {
                member.upstream().set_incarnation(1);
            }
            let (first, token) = visit(&balancer);
            first.upstream().set_incarnation(2);
            let pick = pick(&balancer, &[token.as_bytes()]);
            (balancer, pick)
        }
        Decision::PinLost(PinLoss::Drained) => {
            let balancer = two();
            let (first, token) = visit(&balancer);
            balancer.drain(first.upstream().name(), Some(Duration::ZERO), NOW).unwrap();
            let later = Request::new(NOW.after(HealthSettings::default().drain_spread));
            let pick = balancer.pick(&later.tokens(&[token.as_bytes()])).unwrap();
            (balancer, pick)
        }
        Decision::PinLost(PinLoss::Expired) => at(NOW.after(12 * HOUR)),
        Decision::PinLost(PinLoss::Idle) => at(NOW.after(HOUR)),
        Decision::PinLost(PinLoss::BadTag) => with_first_text(&|token| {
            let last = if token.ends_with('A') { "B" } else { "A" };
            format!("{}{last}", &token[..token.len() - 1])
        }),
        Decision::PinLost(PinLoss::UnknownKey) => {
            let stranger = balancer_with(upstreams(2), Affinity::builder(ring(9, &[])).build().unwrap());
            let token = visit(&stranger).1;
            let balancer = two();
            let pick = pick(&balancer, &[token.as_bytes()]);
            (balancer, pick)
        }
        Decision::PinLost(PinLoss::Malformed) => with_first_text(&|token| token[..55].into()),
        Decision::PinLost(PinLoss::Rebalanced) => {
            let balancer = Balancer::builder()
                .upstreams(upstreams(1))
                .affinity(Affinity::builder(ring(0, &[])).build().unwrap())
                .rebalance(Rebalance::default().budget_per_minute(60_000))
                .build()
                .unwrap();
            let tokens: Vec<_> = (0..100).map(|_| visit(&balancer).1).collect();
            let more = Change::Put(UpstreamConfig::new("app-2", "10.0.0.2:8080"));
            balancer.apply(balancer.plan(&[more]).unwrap()).unwrap();
            balancer.tick(NOW);
            let later = NOW.after(Duration::from_secs(1));
            let mut picks =
                tokens.iter().map(|token| balancer.pick(&Request::new(later).tokens(&[token.as_bytes()])).unwrap());
            let moved = picks.find(|pick| pick.decision != Decision::Pinned).unwrap();
            drop(picks);
            (balancer, moved)
        }
        // The version is the first four bits, so a token that begins with `I` is of version 2.
        Decision::PinLost(PinLoss::OtherVersion) => with_first_text(&|token| format!("I{}", &token[1..])),
        other => panic!("an unknown decision: {other}"),
    }
}

#[test]
fn each_decision_is_reached_and_counted_once() {
    for decision in Decision::all() {
        let (balancer, pick) = provoke(decision);
        assert_eq!(pick.decision, decision);
        // Each balancer began with a first visit, and only the last pick has this decision.
        let cluster = balancer.cluster();
        let counted: u64 = cluster.members().iter().map(|m| m.upstream().decided(decision)).sum();
        assert_eq!(counted, 1, "{decision}");
        assert_eq!(pick.upstream().decided(decision), 1, "{decision} was counted on another upstream");
        let other = [Decision::Pinned, Decision::PinLost(PinLoss::Full)].into_iter().find(|d| *d != decision).unwrap();
        assert_eq!(pick.upstream().decided(other), 0, "{decision} was counted as {other} too");
    }
}

#[test]
fn counts_by_decision_add_up_to_the_total() {
    let balancer = balancer(upstreams(1));
    let token = visit(&balancer).1;
    for _ in 0..5 {
        pick(&balancer, &[token.as_bytes()]);
    }
    pick(&balancer, &[b"nonsense"]);
    let app = upstream(&balancer, "app-1");
    assert_eq!(app.decided(Decision::New), 1);
    assert_eq!(app.decided(Decision::Pinned), 5);
    assert_eq!(app.decided(Decision::PinLost(PinLoss::Malformed)), 1);
    assert_eq!(app.total(), Decision::all().map(|d| app.decided(d)).sum::<u64>());
    assert_eq!((app.total(), app.in_flight()), (7, 0));
}

#[test]
fn without_affinity_every_pick_is_new_and_tokens_are_ignored() {
    let bound = balancer(upstreams(1));
    let token = visit(&bound).1;
    let balancer = Balancer::builder().upstreams(upstreams(1)).build().unwrap();
    for _ in 0..3 {
        let pick = pick(&balancer, &[token.as_bytes()]);
        assert_eq!((pick.decision, pick.token), (Decision::New, None));
    }
    let app = upstream(&balancer, "app-1");
    assert_eq!((app.decided(Decision::New), app.decided(Decision::Pinned)), (3, 0));
}

#[test]
fn a_pinned_session_stays_while_its_upstream_drains() {
    let balancer = balancer(upstreams(2));
    let (first, token) = visit(&balancer);
    first.upstream().set_availability(Availability::DRAINING);
    let again = pick(&balancer, &[token.as_bytes()]);
    assert_eq!((again.decision, again.upstream().name()), (Decision::Pinned, first.upstream().name()));
    for _ in 0..10 {
        assert_ne!(visit(&balancer).0.upstream().name(), first.upstream().name(), "a draining upstream accepted");
    }
}

#[test]
fn an_upstream_that_does_not_serve_does_not_accept() {
    let balancer = balancer(upstreams(2));
    let app = upstream(&balancer, "app-1");
    app.set_availability(Availability { serving: false, accepting: true });
    assert_eq!(app.availability(), Availability::DOWN);
    for _ in 0..4 {
        assert_eq!(visit(&balancer).0.upstream().name(), "app-2");
    }
}

#[test]
fn an_upstream_that_failed_the_request_is_not_picked_again_for_it() {
    let balancer = balancer(upstreams(3));
    let (first, token) = visit(&balancer);
    let tokens = [token.as_bytes()];
    let mut tried = vec![first.upstream().id()];
    let second = balancer.pick(&Request::new(NOW).tokens(&tokens).tried(&tried)).unwrap();
    assert_eq!(second.decision, Decision::PinLost(PinLoss::NotServing));
    assert!(!tried.contains(&second.upstream().id()));
    tried.push(second.upstream().id());
    let third = balancer.pick(&Request::new(NOW).tokens(&tokens).tried(&tried)).unwrap();
    assert!(!tried.contains(&third.upstream().id()));
    tried.push(third.upstream().id());
    let none = balancer.pick(&Request::new(NOW).tokens(&tokens).tried(&tried));
    assert!(matches!(none, Err(PickError::Unavailable)), "{none:?}");
    // The availability has not changed: the next request goes to the pinned upstream.
    assert_eq!(pick(&balancer, &tokens).decision, Decision::Pinned);
}

#[test]
fn times_are_checked_to_the_second() {
    let balancer = balancer(upstreams(2));
    let token = visit(&balancer).1;
    let decision = |now: u64| {
        let request = Request::new(Timestamp::from_secs(now));
        balancer.pick(&request.tokens(&[token.as_bytes()])).unwrap().decision
    };
    let issued = NOW.as_secs();
    assert_eq!(decision(issued - 60), Decision::Pinned);
    assert_eq!(decision(issued - 61), Decision::PinLost(PinLoss::Expired), "from the future");
    // The idle age of half an hour begins at the end of the 128 s window of the last visit.
    assert_eq!(decision(issued + 128 + 1799), Decision::Pinned);
    assert_eq!(decision(issued + 128 + 1800), Decision::PinLost(PinLoss::Idle));
    assert_eq!(decision(issued + 12 * 3600 - 1), Decision::PinLost(PinLoss::Idle));
    assert_eq!(decision(issued + 12 * 3600), Decision::PinLost(PinLoss::Expired));
}

#[test]
fn an_unknown_incarnation_breaks_no_pin() {
    let balancer = balancer(upstreams(2));
    let (first, token) = visit(&balancer);
    // The token was issued while the incarnation was unknown; now it is known, and a new token carries it.
    first.upstream().set_incarnation(5);
    let again = pick(&balancer, &[token.as_bytes()]);
    assert_eq!(again.decision, Decision::Pinned);
    let learned = again.token.unwrap();
    assert_eq!(pick(&balancer, &[learned.as_bytes()]).decision, Decision::Pinned);
    // A proxy that has just started does not know the incarnation yet, and leaves the token's.
    first.upstream().set_incarnation(0);
    let unknown = pick(&balancer, &[learned.as_bytes()]);
    assert_eq!((unknown.decision, unknown.token), (Decision::Pinned, None));
    first.upstream().set_incarnation(6);
    assert_eq!(pick(&balancer, &[learned.as_bytes()]).decision, Decision::PinLost(PinLoss::OtherIncarnation));
}

#[test]
fn rejecting_leaves_sessions_where_they_are() {
    let affinity = || Affinity::builder(ring(0, &[])).on_unavailable(OnUnavailable::Reject).build().unwrap();
    let balancer = balancer_with(upstreams(2).into_iter().map(|u| u.max_in_flight(2)).collect(), affinity());
    let (first, token) = visit(&balancer);
    let pinned = first.upstream().clone();
    let tokens = [token.as_bytes()];
    let rejected = |expected: PinLoss| {
        let total: u64 = balancer.cluster().members().iter().map(|m| m.upstream().total()).sum();
        let refused = balancer.pick(&Request::new(NOW).tokens(&tokens));
        assert!(matches!(refused, Err(PickError::Rejected(lost)) if lost == expected), "{refused:?}");
        let after: u64 = balancer.cluster().members().iter().map(|m| m.upstream().total()).sum();
        assert_eq!(total, after, "a refusal was counted");
    };

    pinned.set_availability(Availability::DOWN);
    rejected(PinLoss::NotServing);
    pinned.set_availability(Availability::ACTIVE);
    let second = pick(&balancer, &tokens);
    assert_eq!(second.decision, Decision::Pinned, "it waits for its upstream");
    rejected(PinLoss::Full);
    drop((first, second));
    let tried = [pinned.id()];
    let refused = balancer.pick(&Request::new(NOW).tokens(&tokens).tried(&tried));
    assert!(matches!(refused, Err(PickError::Rejected(PinLoss::NotServing))), "{refused:?}");

    // A session does not wait for an upstream that was removed.
    balancer.apply(balancer.plan(&[Change::Remove(pinned.name().into())]).unwrap()).unwrap();
    assert_eq!(pick(&balancer, &tokens).decision, Decision::PinLost(PinLoss::NoSuchUpstream));
}

#[test]
fn a_session_waits_for_room_unless_on_full_is_move() {
    let of = |choice| {
        let affinity = Affinity::builder(ring(0, &[])).on_full(choice).build().unwrap();
        balancer_with(upstreams(2).into_iter().map(|upstream| upstream.max_in_flight(1)).collect(), affinity)
    };
    let waiting = of(OnFull::default());
    let (first, token) = visit(&waiting);
    let tokens = [token.as_bytes()];
    for request in [Request::new(NOW), Request::new(NOW).no_wait()] {
        let refused = waiting.pick(&request.tokens(&tokens));
        assert!(matches!(refused, Err(PickError::Full)), "{refused:?}");
    }
    assert_eq!(upstream(&waiting, "app-2").total(), 0, "a refusal was counted");
    let pinned = first.upstream().clone();
    drop(first);
    let again = pick(&waiting, &tokens);
    assert_eq!((again.decision, again.upstream().id(), again.token), (Decision::Pinned, pinned.id(), None));

    let moving = of(OnFull::Move);
    let (first, token) = visit(&moving);
    let moved = pick(&moving, &[token.as_bytes()]);
    assert_eq!(moved.decision, Decision::PinLost(PinLoss::Full));
    assert_ne!(moved.upstream().id(), first.upstream().id());
    assert!(moved.token.is_some(), "it stays where it went");
}

#[test]
fn a_session_of_a_restarted_process_is_replaced_or_kept() {
    for choice in [OnRestart::Replace, OnRestart::Keep] {
        let affinity = Affinity::builder(ring(0, &[])).on_restart(choice).build().unwrap();
        let balancer = balancer_with(upstreams(20), affinity);
        balancer.cluster().members().iter().for_each(|member| member.upstream().set_incarnation(1));
        let sessions: Vec<_> = (0..100).map(|_| visit(&balancer)).collect();
        balancer.cluster().members().iter().for_each(|member| member.upstream().set_incarnation(2));
        let mut stayed = 0;
        for (first, token) in &sessions {
            // A page sends several requests concurrently.
            let page: Vec<_> = (0..4).map(|_| pick(&balancer, &[token.as_bytes()])).collect();
            for one in &page {
                assert_eq!(one.decision, Decision::PinLost(PinLoss::OtherIncarnation));
                assert_eq!(one.upstream().id(), page[0].upstream().id(), "a page was torn apart");
                assert_eq!(one.token, page[0].token);
            }
            stayed += usize::from(page[0].upstream().id() == first.upstream().id());
            let again = pick(&balancer, &[page[0].token.unwrap().as_bytes()]);
            assert_eq!((again.decision, again.token), (Decision::Pinned, None));
            assert_eq!(again.upstream().id(), page[0].upstream().id());
        }
        match choice {
            OnRestart::Keep => assert_eq!(stayed, 100),
            OnRestart::Replace => assert!(stayed < 20, "{stayed} of 100 stayed, where 5 would by chance"),
        }
    }
}

#[test]
fn a_kept_session_still_moves_when_its_upstream_is_gone() {
    let affinity = Affinity::builder(ring(0, &[])).on_restart(OnRestart::Keep).build().unwrap();
    let balancer = balancer_with(upstreams(2), affinity);
    balancer.cluster().members().iter().for_each(|member| member.upstream().set_incarnation(1));
    let (first, token) = visit(&balancer);
    first.upstream().set_incarnation(2);
    first.upstream().set_availability(Availability::DOWN);
    assert_eq!(pick(&balancer, &[token.as_bytes()]).decision, Decision::PinLost(PinLoss::NotServing));
}

#[test]
fn the_first_valid_token_of_at_most_four_counts() {
    let balancer = balancer(upstreams(5));
    let tokens: Vec<_> = (0..5).map(|_| visit(&balancer).1).collect();
    let pinned = |token| pick(&balancer, &[token]).upstream().name().to_owned();
    let (good, other) = (tokens[0].as_bytes(), tokens[1].as_bytes());
    assert_ne!(pinned(good), pinned(other));

    let decided = |tokens: &[&[u8]]| {
        let pick = pick(&balancer, tokens);
        (pick.decision, pick.upstream().name().to_owned())
    };
    assert_eq!(decided(&[good, other]), (Decision::Pinned, pinned(good)));
    assert_eq!(decided(&[other, good]), (Decision::Pinned, pinned(other)));
    assert_eq!(decided(&[b"a", b"b", b"c", good]), (Decision::Pinned, pinned(good)));
    assert_eq!(decided(&[b"a", b"b", b"c", b"d", good]).0, Decision::PinLost(PinLoss::Malformed), "a fifth was read");
}

#[test]
fn the_first_of_several_bad_tokens_gives_the_reason() {
    let balancer = balancer(upstreams(2));
    let token = visit(&balancer).1;
    let mut altered = token.as_bytes().to_vec();
    altered[30] = if altered[30] == b'A' { b'B' } else { b'A' };
    assert_eq!(pick(&balancer, &[&altered, b"short"]).decision, Decision::PinLost(PinLoss::BadTag));
    assert_eq!(pick(&balancer, &[b"short", &altered]).decision, Decision::PinLost(PinLoss::Malformed));
}

#[test]
fn tokens_of_another_pool_do_not_verify() {
    let keys = |pool| KeyRing::builder(pool, [1; 32]).sign_with(0, [2; 32]).build().unwrap();
    let shop = balancer_with(upstreams(2), Affinity::builder(keys("shop")).build().unwrap());
    let blog = balancer_with(upstreams(2), Affinity::builder(keys("blog")).build().unwrap());
    let token = visit(&shop).1;
    assert_eq!(pick(&shop, &[token.as_bytes()]).decision, Decision::Pinned);
    assert_eq!(pick(&blog, &[token.as_bytes()]).decision, Decision::PinLost(PinLoss::BadTag));
}

#[test]
fn unavailable_and_full_are_distinguished() {
    let limited = |limit| UpstreamConfig::new("app-1", "10.0.0.1:80").max_in_flight(limit);
    let balancer = balancer(vec![limited(1), UpstreamConfig::new("app-2", "10.0.0.2:80")]);
    upstream(&balancer, "app-2").set_availability(Availability::DRAINING);
    let held = pick(&balancer, &[]);
    let refused = balancer.pick(&Request::new(NOW));
    assert!(matches!(refused, Err(PickError::Full)), "{refused:?}");
    upstream(&balancer, "app-1").set_availability(Availability::DRAINING);
    let refused = balancer.pick(&Request::new(NOW));
    assert!(matches!(refused, Err(PickError::Unavailable)), "{refused:?}");
    assert_eq!(upstream(&balancer, "app-1").total(), 1, "a refusal was counted");

    // If one accepting upstream was tried and the other is full, room will come. If the only one was tried, none will.
    upstream(&balancer, "app-1").set_availability(Availability::ACTIVE);
    upstream(&balancer, "app-2").set_availability(Availability::ACTIVE);
    let tried = [upstream(&balancer, "app-2").id()];
    let refused = balancer.pick(&Request::new(NOW).tried(&tried));
    assert!(matches!(refused, Err(PickError::Full)), "{refused:?}");
    upstream(&balancer, "app-1").set_availability(Availability::DOWN);
    let refused = balancer.pick(&Request::new(NOW).tried(&tried));
    assert!(matches!(refused, Err(PickError::Unavailable)), "{refused:?}");

    upstream(&balancer, "app-1").set_availability(Availability::ACTIVE);
    upstream(&balancer, "app-2").set_availability(Availability::DRAINING);
    drop(held);
    assert_eq!(pick(&balancer, &[]).upstream().name(), "app-1");
}
