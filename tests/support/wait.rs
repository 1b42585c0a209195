//! Waiting for what another thread or process does.

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
