//! The nginx module in the real nginx: several workers, reloads, upstreams that die, and the gateway beside it.
//!
//! Each test starts an nginx of its own from a temporary directory. `examples/nginx/build` builds the module first, unless
//! `HOMING_NGINX_MODULE` names one; `HOMING_NGINX` is another nginx than the installed one, which that module is built for.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts threads, and fails by a panic"
)]

#[path = "../oracles/dice.rs"]
#[allow(dead_code, reason = "shared with the oracles' tests")]
mod dice;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared with the gateway's tests")]
mod support;

mod backup;
mod config;
mod cookies;
mod failover;
mod interchange;
mod ip_hash;
mod nginx;
mod reload;
mod status;
mod stickiness;
