//! The processor time of an instance's thread.

use std::time::Duration;

use tokio::time::Instant;

/// The calling thread's processor time since this was made or read last.
pub(super) struct Usage {
    at: Instant,
    used: Option<Duration>,
}

impl Usage {
    pub(super) fn new() -> Usage {
        Usage { at: Instant::now(), used: used() }
    }

    /// Processor cores in use since; `None` where the system does not report it.
    pub(super) fn cores(&mut self) -> Option<f64> {
        let before = std::mem::replace(self, Usage::new());
        let passed = self.at.duration_since(before.at).as_secs_f64();
        let used = self.used?.saturating_sub(before.used?).as_secs_f64();
        (passed > 0.0).then(|| used / passed)
    }
}

/// For how long this thread has run on a processor: the first figure of Linux's schedstat, in nanoseconds.
fn used() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}
