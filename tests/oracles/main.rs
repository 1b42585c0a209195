//! Placements that claim to be nginx's or HAProxy's, asked of the real programs: random clusters and clients, and no
//! difference in thousands of picks.
//!
//! The programs run on Unix sockets in front of servers that answer their own address. What is random comes from a
//! seed, which is printed; `HOMING_SEED=N cargo test --test oracles` runs it again.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts threads, and fails by a panic"
)]

#[path = "../support/head.rs"]
#[allow(dead_code, reason = "shared with the gateway's tests")]
mod head;
#[path = "../support/wire.rs"]
#[allow(dead_code, reason = "shared with the gateway's tests")]
mod wire;

mod case;
mod dice;
mod haproxy;
mod nginx;
#[allow(dead_code, reason = "shared with the gateway's tests")]
mod program;
mod servers;
