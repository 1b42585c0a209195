//! Drives the gateway from outside, over real sockets: the program as a child process, scripted
//! upstreams behind it, and clients in front that send any bytes. What reached an upstream is
//! in that upstream's own log.
//!
//! `cargo test -p homing-gateway` builds the program and runs them all; with `--test gateway`, cargo leaves
//! the program as it is. Linux only: they read `/proc`, and need all of 127.0.0.0/8 to be loopback.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts threads, and fails by a panic"
)]

use homing_test_support as support;

mod admin;
mod bodies;
mod chunks;
mod commands;
mod config;
mod cookies;
mod corpora;
mod exchanges;
mod failover;
mod forwarding;
mod hashing;
mod headers;
mod heads;
mod health;
mod http2;
mod keys;
mod latency;
mod limits;
mod lookalikes;
mod migration;
mod pooling;
mod reference;
mod refusals;
mod refusals_http2;
mod reload;
mod retries;
mod shutdown;
mod state;
mod stickiness;
mod streaming;
mod systemd;
mod targets;
mod timeouts;
mod tls;
mod tunnels;
mod upgrade;
mod uploads;
mod websocket;
