//! The administration: in this process over real sockets, and as the gateway serves it.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts threads, and fails by a panic"
)]

#[allow(dead_code, reason = "the tests of the gateway need more of it")]
#[path = "../support/mod.rs"]
mod support;

mod access;
mod changes;
mod dashboard;
mod document;
mod events;
mod figures;
mod host;
mod instances;
mod metrics;
mod program;
