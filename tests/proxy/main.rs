//! The adapter as a library: a proxy in this process, scripted upstreams behind it, clients before it, all over real
//! sockets. What reached an upstream is told by that upstream's own log.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts threads, and fails by a panic"
)]

use homing_test_support as support;

mod embed;
mod host;
mod outcomes;
mod probes;
mod queue;
mod retries;
mod settings;
mod tunnels;
