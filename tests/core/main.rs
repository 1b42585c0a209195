//! The core from outside: every decision, membership changes, key rotation and agreement between proxies.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod agreement;
mod allocations;
mod churn;
mod concurrency;
mod custom_policy;
mod decisions;
mod dependencies;
mod drain;
#[cfg(feature = "testing")]
#[expect(dead_code, reason = "of the example, its tests alone run here")]
#[path = "../../examples/custom_policy.rs"]
mod example_policy;
mod explain;
mod failover;
mod forecast;
mod live_sessions;
mod membership;
mod migration;
mod picker;
mod placement;
mod rebalance;
mod reconfigure;
mod rotation;
mod scale_out;
mod simulation;
mod slow_start;
mod tokens;
#[path = "../../examples/simulation/mod.rs"]
mod virtual_users;
mod waiting;

use homing::rng::SeededEntropy;
use homing::{Affinity, Balancer, KeyRing, Pick, Request, Timestamp, Token, UpstreamConfig};
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const IDENTITY: [u8; 32] = [0x1d; 32];

/// The secret of the key with this id.
fn secret(id: u8) -> [u8; 32] {
    [0x50 + id; 32]
}

/// A key ring in which `signer` signs and `others` verify.
fn ring(signer: u8, others: &[u8]) -> KeyRing {
    let ring = KeyRing::builder("pool", IDENTITY).sign_with(signer, secret(signer));
    others.iter().fold(ring, |ring, id| ring.verify_with(*id, secret(*id))).build().unwrap()
}

/// `app-1` to `app-n`.
fn upstreams(count: usize) -> Vec<UpstreamConfig> {
    (1..=count).map(|i| UpstreamConfig::new(format!("app-{i}"), format!("10.0.0.{i}:8080"))).collect()
}

/// A balancer of these upstreams in which key 0 signs, with an idle age of half an hour.
fn balancer(upstreams: Vec<UpstreamConfig>) -> Balancer {
    let idle = Some(Duration::from_secs(1800));
    balancer_with(upstreams, Affinity::builder(ring(0, &[])).idle(idle).build().unwrap())
}

fn balancer_with(upstreams: Vec<UpstreamConfig>, affinity: Affinity) -> Balancer {
    Balancer::builder()
        .upstreams(upstreams)
        .policy("round_robin")
        .affinity(affinity)
        .entropy(SeededEntropy::new(7))
        .build()
        .unwrap()
}

/// A pick at `NOW` with these tokens. It does not wait, since no time passes.
fn pick(balancer: &Balancer, tokens: &[&[u8]]) -> Pick {
    balancer.pick(&Request::new(NOW).tokens(tokens).no_wait()).unwrap()
}

/// A new session and its token.
fn visit(balancer: &Balancer) -> (Pick, Token) {
    let pick = pick(balancer, &[]);
    let token = pick.token.unwrap();
    (pick, token)
}

fn upstream(balancer: &Balancer, name: &str) -> Arc<homing::Upstream> {
    Arc::clone(balancer.cluster().find_name(name).unwrap().upstream())
}

/// The session id of a token, read at its documented offset.
fn session_id(token: &Token) -> u64 {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.as_bytes()).unwrap();
    u64::from_be_bytes(bytes[9..17].try_into().unwrap())
}
