//! The proxy as a library: a proxy in this process between clients and scripted upstreams, over real sockets. Each
//! upstream's own log says which requests reached it.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts threads, and fails by a panic"
)]

use homing_test_support as support;

mod examples;
mod host;
mod outcomes;
mod probes;
mod queue;
mod retries;
mod service;
mod settings;
mod sticky;
mod tunnels;
