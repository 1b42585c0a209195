//! The cost of a request in Rust, from the pick to the reported outcome; `bench.c` measures the same through the C ABI.
//! `benches/boundary/run` compares them.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, and should say where it cannot go on"
)]

use homing::health::Outcome;
use homing::http::{CookieName, CookieSpec, cookie};
use homing::{Affinity, Balancer, Decision, KeyRing, Pick, Request, Timestamp, UpstreamConfig};
use std::hint::black_box;
use std::time::{Duration, Instant};

const UPSTREAMS: usize = 10;
const CLIENTS: usize = 4096;
const BATCHES: usize = 100;
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn finish(balancer: &Balancer, pick: Pick) {
    let upstream = pick.upstream();
    upstream.observe(Duration::from_millis(1), NOW);
    balancer.report(upstream, Outcome::Answered, NOW);
}

fn main() {
    let balancer = Balancer::builder()
        .upstreams((0..UPSTREAMS).map(|i| UpstreamConfig::new(format!("app-{i}"), format!("10.0.0.{i}:8080"))))
        .policy("p2c")
        .affinity(Affinity::builder(KeyRing::generate("bench").unwrap()).build().unwrap())
        .build()
        .unwrap();
    let name = CookieName::new("homing").unwrap();
    let spec = CookieSpec::builder(name.clone()).build().unwrap();
    let headers: Vec<String> = (0..CLIENTS)
        .map(|_| {
            let token = balancer.pick(&Request::new(NOW)).unwrap().token.unwrap();
            format!("theme=dark; ASP.NET_SessionId=wq4h1zv0lm2yq0cn3x5tjb5e; homing={}; lang=en", token.as_str())
        })
        .collect();

    least("new", || {
        for _ in 0..CLIENTS {
            let pick = balancer.pick(&Request::new(NOW)).unwrap();
            assert_eq!(pick.decision, Decision::New);
            black_box(spec.set_cookie(pick.token.as_ref().unwrap().as_str(), false));
            finish(&balancer, pick);
        }
    });
    least("pinned", || {
        for header in &headers {
            let tokens = cookie::tokens([header.as_bytes()], &name);
            let pick = balancer.pick(&Request::new(NOW).tokens(&tokens)).unwrap();
            assert_eq!(pick.decision, Decision::Pinned);
            finish(&balancer, pick);
        }
    });
}

/// Prints the time per pick, in nanoseconds, of the fastest batch.
fn least(kind: &str, mut batch: impl FnMut()) {
    let took = (0..BATCHES).map(|_| {
        let began = Instant::now();
        batch();
        began.elapsed()
    });
    println!("{kind} {:.1}", took.min().unwrap().as_secs_f64() * 1e9 / CLIENTS as f64);
}
