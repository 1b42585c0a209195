//! The hottest paths, one per run, for callgrind to count: `instructions.sh` runs this and prints the report.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that cannot go on should say where")]

use homing::cluster::Session;
use homing::http::{CookieName, cookie};
use homing::policy::Policy;
use homing::rng::SeededEntropy;
use homing::{Affinity, Balancer, Cluster, Decision, KeyRing, Request, Timestamp, UpstreamConfig, policy};
use std::hint::black_box;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const CALLS: usize = 1000;
const UPSTREAMS: usize = 100;

/// The function in which callgrind counts. It is not inlined, so that `--toggle-collect` finds its symbol.
#[inline(never)]
fn measured(call: &mut dyn FnMut(usize)) {
    for n in 0..CALLS {
        call(black_box(n));
    }
}

/// A policy that costs nothing, so that the difference is the cost of the token.
#[derive(Debug)]
struct TheOnlyOne;

impl Policy for TheOnlyOne {
    fn place(&self, _: &Cluster, _: &Session<'_>) -> Option<usize> {
        Some(0)
    }
}

fn upstreams(count: usize) -> impl Iterator<Item = UpstreamConfig> {
    (0..count).map(|i| UpstreamConfig::new(format!("app-{i}"), format!("10.0.0.{i}:8080")))
}

fn affinity() -> Affinity {
    let keys = KeyRing::builder("bench", [1; 32]).sign_with(0, [2; 32]).build().unwrap();
    Affinity::builder(keys).build().unwrap()
}

fn nothing() {
    measured(&mut |n| {
        black_box(n);
    });
}

fn pinned_by_cookie() {
    let builder = Balancer::builder().upstreams(upstreams(UPSTREAMS)).policy("p2c");
    let balancer = builder.affinity(affinity()).entropy(SeededEntropy::new(1)).build().unwrap();
    let headers: Vec<String> = (0..CALLS)
        .map(|_| balancer.pick(&Request::new(NOW)).unwrap().token.unwrap())
        .map(|token| {
            format!("theme=dark; ASP.NET_SessionId=wq4h1zv0lm2yq0cn3x5tjb5e; homing={}; lang=en", token.as_str())
        })
        .collect();
    let name = CookieName::new("homing").unwrap();
    measured(&mut |n| {
        let tokens = cookie::tokens([headers[n].as_bytes()], &name);
        let pick = balancer.pick(&Request::new(NOW).tokens(&tokens)).unwrap();
        assert_eq!(pick.decision, Decision::Pinned);
    });
}

fn placed_by(policy: &str) {
    let balancer = Balancer::builder().upstreams(upstreams(UPSTREAMS)).policy(policy).build().unwrap();
    let keys = keys();
    // The first pick of a thread allocates arc-swap's slots.
    balancer.pick(&Request::new(NOW)).unwrap();
    measured(&mut |n| {
        let pick = balancer.pick(&Request::new(NOW).key(&keys[n])).unwrap();
        assert_eq!(pick.decision, Decision::New);
    });
}

fn placed_by_picker(policy: &str) {
    let balancer = Balancer::builder().upstreams(upstreams(UPSTREAMS)).policy(policy).build().unwrap();
    let (keys, mut picker) = (keys(), Arc::new(balancer).picker());
    measured(&mut |n| {
        let pick = picker.pick(&Request::new(NOW).key(&keys[n])).unwrap();
        assert_eq!(pick.decision, Decision::New);
    });
}

fn keys() -> Vec<[u8; 16]> {
    (0..CALLS as u128).map(|n| (n * 0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

fn one_upstream(bound: bool) {
    let builder = Balancer::builder().upstreams(upstreams(1)).policy_with(|_| Box::new(TheOnlyOne));
    let builder = if bound { builder.affinity(affinity()) } else { builder };
    let balancer = builder.entropy(SeededEntropy::new(1)).build().unwrap();
    let token = balancer.pick(&Request::new(NOW)).unwrap().token;
    let tokens: Vec<&[u8]> = token.iter().map(|token| token.as_bytes()).collect();
    let decision = if bound { Decision::Pinned } else { Decision::New };
    measured(&mut |_| {
        let pick = balancer.pick(&Request::new(NOW).tokens(&tokens)).unwrap();
        assert_eq!(pick.decision, decision);
    });
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("calls") => println!("{CALLS}"),
        Some("nothing") => nothing(),
        Some("pinned_by_cookie") => pinned_by_cookie(),
        Some("with_token") => one_upstream(true),
        Some("without_token") => one_upstream(false),
        Some("picker") => placed_by_picker("p2c"),
        Some(policy) if policy::find(policy).is_ok() => placed_by(policy),
        _ => println!("benches/instructions.sh runs this under callgrind"),
    }
}
