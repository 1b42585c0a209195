//! Migration from another proxy: a session is migrated once, by the legacy cookie, and has a token from then on.

use crate::{NOW, balancer, balancer_with, pick, ring, session_id, upstream, upstreams};
use homing::affinity::{AcceptedCookie, AffinityBuilder, LegacyCookie, LegacyFormat};
use homing::balancer::{Step, TokenSet};
use homing::health::{Failover, Outcome};
use homing::{
    Affinity, Availability, Balancer, Change, Decision, HealthSettings, OnUnavailable, Pick, PickError, PinLoss,
    Request, UpstreamConfig, Wait,
};
use std::time::Duration;

fn accepting() -> AffinityBuilder {
    let accepted =
        [AcceptedCookie::new(LegacyFormat::HaProxy, "SRV"), AcceptedCookie::new(LegacyFormat::NginxRoute, "route")];
    Affinity::builder(ring(0, &[])).accept(accepted)
}

/// A balancer of `app-1` to `app-4` that accepts HAProxy's cookies first and nginx's second.
fn accepting_legacy_cookies() -> Balancer {
    balancer_with(upstreams(4), accepting().build().unwrap())
}

fn haproxy(value: &str) -> LegacyCookie<'_> {
    LegacyCookie { accept: 0, value: value.as_bytes() }
}

fn nginx(value: &str) -> LegacyCookie<'_> {
    LegacyCookie { accept: 1, value: value.as_bytes() }
}

fn brings(balancer: &Balancer, tokens: &[&[u8]], legacy_cookies: &[LegacyCookie<'_>]) -> Pick {
    balancer.pick(&Request::new(NOW).tokens(tokens).legacy_cookies(legacy_cookies).no_wait()).unwrap()
}

fn went(pick: &Pick) -> (&str, Decision) {
    (pick.upstream().name(), pick.decision)
}

#[test]
fn a_migrated_session_is_pinned_and_gets_a_token_of_its_own() {
    let balancer = accepting_legacy_cookies();
    for name in ["app-1", "app-2", "app-3", "app-4"] {
        let first = brings(&balancer, &[], &[haproxy(name)]);
        assert_eq!(went(&first), (name, Decision::Pinned));
        let token = first.token.unwrap();
        // The token works alone, and takes precedence over a legacy cookie.
        for legacy_cookies in [&[][..], &[haproxy(name)], &[haproxy("app-1")], &[haproxy("strange")]] {
            let again = brings(&balancer, &[token.as_bytes()], legacy_cookies);
            assert_eq!(
                (went(&again), again.token, again.session_id),
                ((name, Decision::Pinned), None, first.session_id)
            );
        }
    }
}

#[test]
fn without_accept_the_same_cookies_are_ignored() {
    let balancer = balancer(upstreams(4));
    let places: Vec<_> = (0..4).map(|_| brings(&balancer, &[], &[haproxy("app-2")])).collect();
    assert!(places.iter().all(|pick| pick.decision == Decision::New));
    assert!(places.iter().any(|pick| pick.upstream().name() != "app-2"), "round robin goes on");
}

#[test]
fn a_value_that_matches_no_upstream_begins_a_session() {
    let balancer = accepting_legacy_cookies();
    for value in ["", "app-5", "app-11", "APP-1", "app-1 ", "x.app-1"] {
        let pick = brings(&balancer, &[], &[haproxy(value)]);
        assert_eq!(pick.decision, Decision::New, "{value:?}");
        assert!(pick.token.is_some());
    }
}

#[test]
fn the_first_cookie_that_matches_an_upstream_counts() {
    let balancer = accepting_legacy_cookies();
    for (legacy_cookies, name) in [
        (&[haproxy("strange"), haproxy("app-3"), haproxy("app-1")][..], "app-3"),
        (&[haproxy("strange"), nginx("2B6F.app-2")], "app-2"),
        (&[haproxy("app-4"), nginx("app-2")], "app-4"),
        // A cookie that is not among the accepted ones.
        (&[LegacyCookie { accept: 2, value: b"app-1" }, nginx("app-2")], "app-2"),
    ] {
        assert_eq!(went(&brings(&balancer, &[], legacy_cookies)), (name, Decision::Pinned), "{legacy_cookies:?}");
    }
}

#[test]
fn a_session_with_an_invalid_token_is_migrated_all_the_same() {
    let balancer = accepting_legacy_cookies();
    let token = pick(&balancer, &[]).token.unwrap();
    let late = NOW.after(Duration::from_secs(13 * 3600));
    for (tokens, now) in [(&[&b"nonsense"[..]][..], NOW), (&[token.as_bytes()], late)] {
        let request = Request::new(now).tokens(tokens);
        assert!(matches!(balancer.pick(&request).unwrap().decision, Decision::PinLost(_)));
        let migrated = balancer.pick(&request.legacy_cookies(&[haproxy("app-3")])).unwrap();
        assert_eq!(went(&migrated), ("app-3", Decision::Pinned));
        let next = migrated.token.unwrap();
        assert_ne!(session_id(&next), session_id(&token));
        let again = balancer.pick(&Request::new(now).tokens(&[next.as_bytes()])).unwrap();
        assert_eq!(went(&again), ("app-3", Decision::Pinned));
    }
}

#[test]
fn sessions_of_an_upstream_that_is_down_spread_and_do_not_move_back() {
    let balancer = accepting_legacy_cookies();
    upstream(&balancer, "app-2").set_availability(Availability::DOWN);
    let mut failover_targets = std::collections::BTreeMap::<_, u32>::new();
    for _ in 0..300 {
        let moved = brings(&balancer, &[], &[haproxy("app-2")]);
        assert_eq!(moved.decision, Decision::PinLost(PinLoss::NotServing));
        let token = moved.token.unwrap();
        *failover_targets.entry(moved.upstream().name().to_owned()).or_default() += 1;
        upstream(&balancer, "app-2").set_availability(Availability::ACTIVE);
        let back = brings(&balancer, &[token.as_bytes()], &[haproxy("app-2")]);
        assert_eq!(went(&back), (moved.upstream().name(), Decision::Pinned), "it does not move back");
        upstream(&balancer, "app-2").set_availability(Availability::DOWN);
    }
    assert_eq!(failover_targets.len(), 3);
    assert!(failover_targets.values().all(|count| (60..=140).contains(count)), "{failover_targets:?}");
}

#[test]
fn an_upstream_that_failed_this_request_is_not_tried_again() {
    let balancer = accepting_legacy_cookies();
    let tried = [upstream(&balancer, "app-2").id()];
    let request = Request::new(NOW).tried(&tried).no_wait();
    let moved = balancer.pick(&request.legacy_cookies(&[haproxy("app-2")])).unwrap();
    assert_eq!(moved.decision, Decision::PinLost(PinLoss::NotServing));
    assert_ne!(moved.upstream().name(), "app-2");
}

#[test]
fn a_session_with_a_legacy_cookie_alone_is_treated_as_any_other() {
    let legacy_cookies = [haproxy("app-2")];
    let request = Request::new(NOW).legacy_cookies(&legacy_cookies);
    // It waits for an upstream that may return.
    let health = HealthSettings::default().failover(Failover::default().rate(0).return_timeout(Duration::from_secs(5)));
    let holding = Balancer::builder()
        .upstreams(upstreams(4))
        .affinity(accepting().build().unwrap())
        .health(health)
        .build()
        .unwrap();
    holding.report(&upstream(&holding, "app-2"), Outcome::ConnectRefused, NOW);
    assert!(matches!(holding.pick(&request), Err(PickError::Later { reason: Wait::UpstreamReturn, .. })));
    // With `Reject` it is not moved.
    let rejecting = balancer_with(upstreams(4), accepting().on_unavailable(OnUnavailable::Reject).build().unwrap());
    upstream(&rejecting, "app-2").set_availability(Availability::DOWN);
    assert!(matches!(rejecting.pick(&request), Err(PickError::Rejected(PinLoss::NotServing))));
    // It waits for room.
    let narrow = upstreams(4).into_iter().map(|upstream| upstream.max_in_flight(1)).collect();
    let narrow = balancer_with(narrow, accepting().build().unwrap());
    let held = narrow.pick(&request).unwrap();
    assert!(matches!(narrow.pick(&request), Err(PickError::Full)));
    drop(held);
    assert_eq!(went(&narrow.pick(&request).unwrap()), ("app-2", Decision::Pinned));
    // A draining upstream serves it.
    let draining = accepting_legacy_cookies();
    upstream(&draining, "app-2").set_availability(Availability::DRAINING);
    assert_eq!(went(&draining.pick(&request).unwrap()), ("app-2", Decision::Pinned));
}

#[test]
fn the_table_follows_the_cluster_and_outlives_a_rotation() {
    let balancer = accepting_legacy_cookies();
    let apply = |change| balancer.apply(balancer.plan(&[change]).unwrap()).unwrap();
    assert_eq!(brings(&balancer, &[], &[haproxy("app-9")]).decision, Decision::New);
    apply(Change::Put(UpstreamConfig::new("app-9", "10.0.0.9:8080")));
    assert_eq!(went(&brings(&balancer, &[], &[haproxy("app-9")])), ("app-9", Decision::Pinned));
    apply(Change::Remove("app-1".to_owned()));
    assert_eq!(brings(&balancer, &[], &[haproxy("app-1")]).decision, Decision::New);
    // All members after the removed one have another index now.
    balancer.set_keys(ring(1, &[0])).unwrap();
    for name in ["app-2", "app-3", "app-4", "app-9"] {
        assert_eq!(went(&brings(&balancer, &[], &[haproxy(name)])), (name, Decision::Pinned));
    }
}

#[test]
fn an_address_that_changes_has_another_value() {
    let accepted = [AcceptedCookie::new(LegacyFormat::Traefik, "lb")];
    let affinity = Affinity::builder(ring(0, &[])).accept(accepted).build().unwrap();
    let balancer = balancer_with(upstreams(3), affinity);
    let value = |address: &str| LegacyFormat::Traefik.value("any", address).unwrap();
    let (before, after) = (value("10.0.0.2:8080"), value("10.0.0.22:8080"));
    assert_eq!(went(&brings(&balancer, &[], &[haproxy(&before)])), ("app-2", Decision::Pinned));
    let moved = Change::Put(UpstreamConfig::new("app-2", "10.0.0.22:8080"));
    balancer.apply(balancer.plan(&[moved]).unwrap()).unwrap();
    assert_eq!(brings(&balancer, &[], &[haproxy(&before)]).decision, Decision::New);
    assert_eq!(went(&brings(&balancer, &[], &[haproxy(&after)])), ("app-2", Decision::Pinned));
}

#[test]
fn at_most_sixteen_legacy_cookies_are_read() {
    let balancer = accepting_legacy_cookies();
    let long = "app-1.".repeat(100_000);
    let strange = nginx(&long);
    let crowd = |before: usize| [vec![strange; before], vec![haproxy("app-3")]].concat();
    assert_eq!(went(&brings(&balancer, &[], &crowd(15))), ("app-3", Decision::Pinned));
    assert_eq!(brings(&balancer, &[], &crowd(16)).decision, Decision::New);
}

#[test]
fn a_migrated_session_is_counted_once() {
    let balancer = accepting_legacy_cookies();
    let migrated = brings(&balancer, &[], &[haproxy("app-3")]);
    let token = migrated.token.unwrap();
    for _ in 0..9 {
        brings(&balancer, &[token.as_bytes()], &[haproxy("app-3")]);
    }
    let pinned = upstream(&balancer, "app-3");
    assert_eq!((pinned.live_sessions(NOW), pinned.decided(Decision::Pinned), pinned.total()), (1, 10, 10));
}

#[test]
fn a_migration_is_explained() {
    let balancer = accepting_legacy_cookies();
    let legacy_cookies = [haproxy("strange"), haproxy("app-2")];
    let request = Request::new(NOW).tokens(&[b"nonsense"]).legacy_cookies(&legacy_cookies);
    let explained = balancer.explain(&request);
    assert_eq!(
        explained.to_string(),
        "generation 1\n\
         - token 1 is refused: malformed\n\
         - cookie 2 of the proxy that was here before means app-2\n\
         - app-2 serves and has room: the session stays pinned to it\n\
         - a token is set: the session is taken over\n\
         goes to app-2 (pinned)"
    );
    upstream(&balancer, "app-2").set_availability(Availability::DOWN);
    let explained = balancer.explain(&request);
    let migrated = Step::Migrated { number: 2, upstream: "app-2".to_owned() };
    assert!(explained.steps.contains(&migrated), "{explained}");
    assert_eq!(explained.steps.last(), Some(&Step::TokenSet(TokenSet::Migrated)));
    assert_eq!(explained.decision, Some(Decision::PinLost(PinLoss::NotServing)));
}
