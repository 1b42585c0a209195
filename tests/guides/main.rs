//! The guides in `docs/` for those who move in: every configuration in them is taken from the page as it stands and run, by the
//! program that it is for, before instances that keep sessions in memory. Addresses and paths alone are put in their place.
//!
//! Who has a session is asked for it before, after and on the way back; whether it is still there, the instances say. By
//! other settings than a guide's the same visitors do lose their sessions.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts threads, and fails by a panic"
)]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the tests of the gateway need more of it")]
mod support;
use support::wire;

#[path = "../oracles/program.rs"]
#[allow(dead_code, reason = "shared with the oracles")]
mod program;

mod guest;
mod guide;
mod haproxy;
mod instance;
mod nginx;
mod packaging;
mod site;
mod wisej;
