//! Support for the tests of all packages: the gateway as a child process, scripted upstreams that log every byte,
//! clients that send bytes which no HTTP library would, and other programs (nginx, HAProxy, etcd) for comparison.
//!
//! A package of its own, not published, so that it is compiled once and not into each test binary. It does not depend
//! on the library and uses only what crosses the wire.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests start threads, read the environment, and fail by a panic"
)]

pub mod certificate;
pub mod client;
pub mod dice;
pub mod etcd;
pub mod frames;
pub mod gateway;
pub mod h2;
pub mod harness;
pub mod head;
pub mod load;
pub mod pattern;
pub mod program;
pub mod toolchain;
pub mod upstream;
pub mod visitor;
pub mod websocket;
pub mod wire;

pub use homing_test_attribute::test;
pub use inventory;

use std::thread;
use std::time::{Duration, Instant};

/// The timeout of a test that hangs. No test depends on its length.
pub const GUARD: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + GUARD;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
