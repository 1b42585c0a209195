//! What the tests of the gateway stand on: the program as a child process, upstreams whose every
//! byte is scripted and logged, and clients that send what no library would.

pub mod certificate;
pub mod client;
pub mod frames;
pub mod gateway;
pub mod h2;
pub mod head;
pub mod load;
pub mod pattern;
pub mod upstream;
pub mod visitor;
pub mod websocket;
pub mod wire;

use std::thread;
use std::time::{Duration, Instant};

/// Ends a test that hangs. No test measures time by it.
pub const GUARD: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + GUARD;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
