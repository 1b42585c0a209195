//! Proxies that share keys and have the same upstreams choose the same failover target, without communication.

use crate::{NOW, balancer_with, ring, secret, upstreams, visit};
use homing::{Affinity, Availability, Balancer, Change, Decision, KeyRing, PinLoss, Request, Token, UpstreamConfig};

const SESSIONS: usize = 500;

fn weighted() -> Vec<UpstreamConfig> {
    upstreams(12).into_iter().zip(1..).map(|(upstream, weight)| upstream.weight(weight)).collect()
}

/// A proxy whose configuration lists the upstreams rotated by `turn`, and in reverse order if `turn` is odd.
fn proxy(keys: KeyRing, policy: &str, turn: usize) -> Balancer {
    let mut configs = weighted();
    configs.rotate_left(turn);
    if turn % 2 == 1 {
        configs.reverse();
    }
    Balancer::builder()
        .upstreams(configs)
        .policy(policy)
        .affinity(Affinity::builder(keys).build().unwrap())
        .build()
        .unwrap()
}

fn proxies() -> Vec<Balancer> {
    let policies = ["least_conn", "p2c", "round_robin", "random", "ip_hash"];
    policies.iter().zip([0, 1, 5, 6, 11]).map(|(policy, turn)| proxy(ring(0, &[]), policy, turn)).collect()
}

fn set_availability(proxy: &Balancer, names: &[&str], health: Availability) {
    for name in names {
        proxy.cluster().find_name(name).unwrap().upstream().set_availability(health);
    }
}

/// The upstream to which `proxy` sends the session, and the decision.
fn visit_at(proxy: &Balancer, token: &Token) -> (String, Decision) {
    let pick = proxy.pick(&Request::new(NOW).tokens(&[token.as_bytes()])).unwrap();
    (pick.upstream().name().to_owned(), pick.decision)
}

fn sessions(proxies: &[Balancer]) -> Vec<Token> {
    (0..SESSIONS).map(|n| visit(&proxies[n % proxies.len()]).1).collect()
}

#[test]
fn failover_targets_are_the_same_on_every_proxy() {
    let proxies = proxies();
    let sessions = sessions(&proxies);
    let down = ["app-12", "app-11", "app-3", "app-1"];
    for proxy in &proxies {
        set_availability(proxy, &down, Availability::DOWN);
    }
    let mut moved = std::collections::BTreeMap::<String, usize>::new();
    for token in &sessions {
        let (place, decision) = visit_at(&proxies[0], token);
        for proxy in &proxies[1..] {
            assert_eq!(visit_at(proxy, token), (place.clone(), decision));
        }
        assert!(!down.contains(&place.as_str()));
        if decision != Decision::Pinned {
            *moved.entry(place).or_default() += 1;
        }
    }
    assert_eq!(moved.len(), 8, "they spread over all that are left: {moved:?}");
}

#[test]
fn failover_targets_of_a_removed_upstream_are_the_same_on_every_proxy() {
    let proxies = proxies();
    let sessions = sessions(&proxies);
    for proxy in &proxies {
        proxy.apply(proxy.plan(&[Change::Remove("app-12".into())]).unwrap()).unwrap();
    }
    let mut moved = 0;
    for token in &sessions {
        let first = visit_at(&proxies[0], token);
        moved += usize::from(first.1 == Decision::PinLost(PinLoss::NoSuchUpstream));
        assert!(proxies[1..].iter().all(|proxy| visit_at(proxy, token) == first));
    }
    assert!(moved > 20, "only {moved} sessions were on it");
}

#[test]
fn proxies_that_see_one_more_failure_move_only_its_sessions() {
    let proxies = proxies();
    let sessions = sessions(&proxies);
    for proxy in &proxies {
        set_availability(proxy, &["app-12"], Availability::DOWN);
    }
    set_availability(&proxies[1], &["app-10"], Availability::DOWN);
    for token in &sessions {
        let (elsewhere, here) = (visit_at(&proxies[0], token).0, visit_at(&proxies[1], token).0);
        assert!(here == elsewhere || elsewhere == "app-10", "{elsewhere} and {here}");
    }
}

#[test]
fn under_another_identity_secret_proxies_disagree() {
    // The signing key is the same, so tokens verify on both; the ids of upstreams differ.
    let stranger = || KeyRing::builder("pool", [0xee; 32]).sign_with(0, secret(0)).build().unwrap();
    let (ours, theirs) = (proxy(ring(0, &[]), "p2c", 0), proxy(stranger(), "p2c", 0));
    let mut apart = 0;
    for _ in 0..SESSIONS {
        let token = visit(&ours).1;
        let (here, decision) = visit_at(&ours, &token);
        assert_eq!(decision, Decision::Pinned);
        let (there, decision) = visit_at(&theirs, &token);
        assert_eq!(decision, Decision::PinLost(PinLoss::NoSuchUpstream));
        apart += usize::from(here != there);
    }
    assert!(apart > SESSIONS / 2, "only {apart} of {SESSIONS} disagreed");
}

#[test]
fn upstream_ids_are_the_same_on_every_proxy_of_a_pool() {
    let id = |proxy: &Balancer| proxy.cluster().find_name("app-7").unwrap().upstream().id();
    let proxies = proxies();
    assert!(proxies.iter().all(|proxy| id(proxy) == ring(3, &[]).upstream_id("app-7")));
    assert_ne!(id(&balancer_with(upstreams(9), other_pool())), id(&proxies[0]));
}

fn other_pool() -> Affinity {
    let keys = KeyRing::builder("other", crate::IDENTITY).sign_with(0, secret(0)).build().unwrap();
    Affinity::builder(keys).build().unwrap()
}
