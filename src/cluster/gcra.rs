//! So many at a time, evenly: the generic cell rate algorithm (ITU-T I.371) in one word.
//!
//! The word says when the next is due. Time is any number that goes up; what goes unused of it is kept up to a limit,
//! and lets as many come at once.

use std::sync::atomic::{AtomicU64, Ordering};

/// One every `interval`. Of unused time at most `slack` is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quota {
    pub(crate) interval: u64,
    pub(crate) burst_tolerance: u64,
}

impl Quota {
    fn wait(self, due: u64, now: u64, jump: u64) -> Option<u64> {
        (due > now && due - now <= self.interval.saturating_add(jump)).then_some(due)
    }
}

/// When the next is due.
#[derive(Debug, Default)]
pub(crate) struct Gcra(AtomicU64);

impl Gcra {
    /// When one that comes at `now` is due, if that is later. Who is due further ahead than anybody can have been put
    /// off, give or take `jump`, was put off by a clock that has gone back, and does not wait for it to come again.
    pub(crate) fn wait(&self, now: u64, quota: Quota, jump: u64) -> Option<u64> {
        quota.wait(self.0.load(Ordering::Relaxed), now, jump)
    }

    /// Whether one that comes at `now` is due.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.0.load(Ordering::Relaxed) <= now
    }

    /// Whether the clock has gone back since.
    pub(crate) fn is_beyond(&self, now: u64, quota: Quota, jump: u64) -> bool {
        !self.is_due(now) && self.wait(now, quota, jump).is_none()
    }

    /// Forgets what was kept: the next is due at `now`.
    pub(crate) fn start(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// Lets one pass at `now`, due or not.
    pub(crate) fn force(&self, now: u64, quota: Quota) {
        let next = |due: u64| Some(due.max(now.saturating_sub(quota.burst_tolerance)).saturating_add(quota.interval));
        // Never refuses, since `next` never does.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Lets one pass at `now`, or says when it is due. One compare-exchange.
    pub(crate) fn pass(&self, now: u64, quota: Quota, jump: u64) -> Result<(), u64> {
        let mut due = self.0.load(Ordering::Relaxed);
        loop {
            if let Some(due) = quota.wait(due, now, jump) {
                return Err(due);
            }
            let next = due.min(now).max(now.saturating_sub(quota.burst_tolerance)).saturating_add(quota.interval);
            match self.0.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => due = changed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { interval: 10, burst_tolerance: 40 };

    fn passed(gcra: &Gcra, times: impl Iterator<Item = u64>) -> usize {
        times.filter(|now| gcra.pass(*now, QUOTA, 100).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_one_every_interval() {
        let gcra = Gcra::default();
        assert_eq!(passed(&gcra, std::iter::repeat_n(1000, 100)), 5, "four were kept and one is due");
        assert_eq!(gcra.pass(1000, QUOTA, 100), Err(1010));
        assert_eq!(passed(&gcra, 1001..=2000), 100);
        assert_eq!(passed(&gcra, std::iter::repeat_n(2020, 100)), 2, "two intervals were kept");
    }

    #[test]
    fn a_clock_that_goes_back_blocks_nobody_for_long() {
        let gcra = Gcra::default();
        assert!(gcra.pass(1_000_000, QUOTA, 100).is_ok());
        assert!(gcra.pass(5000, QUOTA, 100).is_ok(), "at once");
        assert_eq!(passed(&gcra, 5001..=6000), 100);
        // What threads see in another order is no jump.
        while gcra.pass(6000, QUOTA, 100).is_ok() {}
        assert!(gcra.pass(5950, QUOTA, 100).is_err());
    }

    #[test]
    fn racing_threads_pass_no_more_than_are_due() {
        let gcra = Gcra::default();
        let count = || (1000..2000).filter(|now| gcra.pass(*now, QUOTA, 10_000).is_ok()).count();
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((100..=105).contains(&all), "{all}");
    }
}
