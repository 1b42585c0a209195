//! Parameters of policies: rows of the page against `homing::policy::registry`.

use super::page::{Page, Row};
use homing::affinity::Affinity;
use homing::policy::{ParamError, Params, find, registry};
use homing::rng::SeededEntropy;
use homing::{Balancer, KeyRing, Request, Timestamp, UpstreamConfig};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Parameters that only one side has.
pub fn differences(page: &Page) -> Vec<String> {
    let on_page: BTreeSet<(&str, &str)> = rows(page).map(|(policy, name, _)| (policy, name)).collect();
    let known: BTreeSet<(&str, &str)> =
        registry().iter().flat_map(|entry| entry.params.iter().map(|name| (entry.name, *name))).collect();
    on_page.symmetric_difference(&known).map(|(policy, name)| format!("{policy}, {name}: on one side only")).collect()
}

/// Rows with a wrong type or default.
pub fn wrong(page: &Page) -> Vec<String> {
    rows(page).filter_map(|(policy, name, row)| fault(policy, name, row)).collect()
}

fn rows(page: &Page) -> impl Iterator<Item = (&str, &str, &Row)> {
    page.rows.iter().filter_map(|row| Some((row.policy.as_deref()?, row.path.strip_prefix("policy.")?, row)))
}

fn fault(policy: &str, name: &str, row: &Row) -> Option<String> {
    let entry = find(policy).ok()?;
    let Err(ParamError::Invalid { expected, .. }) = entry.configure(Params::new().with(name, "?")) else {
        return Some(format!("{policy}, {name}: takes anything"));
    };
    if row.kind != expected {
        return Some(format!("{policy}, {name}: is {} on the page, and the program expects {expected}", row.kind));
    }
    let default = row.default.trim_matches(['`', '"']);
    let picks = picks(policy, Params::new().with(name, default));
    (picks != self::picks(policy, Params::new())).then(|| format!("{policy}, {name}: {default} is not the default"))
}

/// Some hundred picks, of which every parameter changes some.
fn picks(policy: &str, params: Params) -> Vec<String> {
    let upstreams =
        (1..=9).map(|n| UpstreamConfig::new(format!("app-{n}"), format!("10.0.0.{n}:80")).weight(n % 3 + 1));
    let keys = KeyRing::builder("reference", [1; 32]).sign_with(0, [2; 32]).build().expect("keys");
    let affinity = Affinity::builder(keys).build().expect("an affinity");
    let balancer = Balancer::builder()
        .upstreams(upstreams)
        .policy_params(policy, params)
        .affinity(affinity)
        .entropy(SeededEntropy::new(7))
        .build();
    let Ok(balancer) = balancer else { return vec![format!("{policy} cannot be built so")] };
    let mut leases = Vec::new();
    let names = (0..600_u32).map(|n| {
        let now = Timestamp::from_secs(1_700_000_000).after(Duration::from_millis(u64::from(n) * 50));
        let client = match n % 2 {
            0 => IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b9))),
            _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(n / 200) << 64 | u128::from(n))),
        };
        let key = n.to_string();
        let request = Request::new(now).client(client);
        let pick = balancer.pick(&if n % 3 == 0 { request } else { request.key(key.as_bytes()) }).expect("a pick");
        let upstream = pick.upstream().clone();
        upstream.observe(Duration::from_millis(u64::from(n % 17) * 10 + 1), now);
        leases.push(pick.lease);
        if n % 2 == 0 {
            leases.swap_remove(leases.len() / 2);
        }
        upstream.name().to_owned()
    });
    names.collect()
}

#[test]
fn each_parameter_changes_picks() {
    let others = [
        ("least_sessions", "d", "all"),
        ("peak_ewma", "decay", "100ms"),
        ("peak_ewma", "default_rtt", "1s"),
        ("rendezvous", "mode", "strict"),
        ("rendezvous", "epsilon", "1"),
        ("rendezvous", "slots", "65536"),
        ("rendezvous", "load_factor", "1"),
        ("maglev", "table_size", "251"),
        ("chash", "balance", "source"),
        ("ip_hash", "prefix_v4", "16"),
        ("ip_hash", "prefix_v6", "64"),
    ];
    for (policy, name, other) in others {
        let differ = picks(policy, Params::new()) != picks(policy, Params::new().with(name, other));
        assert!(differ, "{policy}: {name} = {other} changes nothing");
    }
    let known: usize = registry().iter().map(|entry| entry.params.len()).sum();
    assert_eq!(known, others.len());
}
