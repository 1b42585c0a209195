//! A rate limiter without locks: the generic cell rate algorithm (GCRA; ITU-T I.371, annex A) in one atomic word.
//!
//! The word is the theoretical arrival time (TAT), the time when the next event is due. An event at `now` conforms if
//! the TAT is not later; it advances the TAT by the emission interval. Unused time is kept up to the burst tolerance,
//! and admits as many events at once. Time is any number that grows: microseconds, or a count of placements.

use crate::time::CLOCK_TOLERANCE;
use std::sync::atomic::{AtomicU64, Ordering};

/// One event every `interval`; at most `burst_tolerance` of unused time is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quota {
    pub(crate) interval: u64,
    pub(crate) burst_tolerance: u64,
}

/// By how many microseconds threads' clocks may differ.
const TOLERANCE: u64 = CLOCK_TOLERANCE.as_micros() as u64;

impl Quota {
    /// `tat`, if an event at `now` has to wait for it. No event is put off by more than the interval, give or take the
    /// clock tolerance; a TAT further ahead was set before the clock went back, and does not count.
    fn wait(self, tat: u64, now: u64) -> Option<u64> {
        (tat > now && tat - now <= self.interval.saturating_add(TOLERANCE)).then_some(tat)
    }
}

/// The theoretical arrival time of the next event.
#[derive(Debug, Default)]
pub(crate) struct Gcra(AtomicU64);

impl Gcra {
    /// When an event at `now` (in microseconds) is due, if that is later.
    pub(crate) fn wait(&self, now: u64, quota: Quota) -> Option<u64> {
        quota.wait(self.0.load(Ordering::Relaxed), now)
    }

    /// Whether an event at `now` conforms.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.0.load(Ordering::Relaxed) <= now
    }

    /// Whether the clock (in microseconds) has gone back since the last event.
    pub(crate) fn is_beyond(&self, now: u64, quota: Quota) -> bool {
        !self.is_due(now) && self.wait(now, quota).is_none()
    }

    /// Drops unused time: the next event is due at `now`.
    pub(crate) fn reset(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// Counts an event at `now`, conforming or not.
    pub(crate) fn force(&self, now: u64, quota: Quota) {
        let next = |tat: u64| Some(tat.max(now.saturating_sub(quota.burst_tolerance)).saturating_add(quota.interval));
        // Never refuses, since `next` never does.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Admits an event at `now` (in microseconds), or says when it is due. One compare-exchange.
    pub(crate) fn admit(&self, now: u64, quota: Quota) -> Result<(), u64> {
        let mut tat = self.0.load(Ordering::Relaxed);
        loop {
            if let Some(due) = quota.wait(tat, now) {
                return Err(due);
            }
            let next = tat.min(now).max(now.saturating_sub(quota.burst_tolerance)).saturating_add(quota.interval);
            match self.0.compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => tat = changed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { interval: 10, burst_tolerance: 40 };

    fn admitted(gcra: &Gcra, times: impl Iterator<Item = u64>) -> usize {
        times.filter(|now| gcra.admit(*now, QUOTA).is_ok()).count()
    }

    #[test]
    fn a_burst_is_admitted_and_then_one_every_interval() {
        let gcra = Gcra::default();
        assert_eq!(admitted(&gcra, std::iter::repeat_n(1000, 100)), 5, "four were kept and one is due");
        assert_eq!(gcra.admit(1000, QUOTA), Err(1010));
        assert_eq!(admitted(&gcra, 1001..=2000), 100);
        assert_eq!(admitted(&gcra, std::iter::repeat_n(2020, 100)), 2, "two intervals were kept");
    }

    #[test]
    fn a_clock_that_goes_back_delays_no_event_for_long() {
        let gcra = Gcra::default();
        assert!(gcra.admit(1_000_000_000, QUOTA).is_ok());
        assert!(gcra.admit(5000, QUOTA).is_ok(), "at once");
        assert_eq!(admitted(&gcra, 5001..=6000), 100);
        // What threads see in another order is no step of the clock.
        while gcra.admit(6000, QUOTA).is_ok() {}
        assert!(gcra.admit(5950, QUOTA).is_err());
    }

    #[test]
    fn racing_threads_are_admitted_no_more_than_are_due() {
        let gcra = Gcra::default();
        let count = || (1000..2000).filter(|now| gcra.admit(*now, QUOTA).is_ok()).count();
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((100..=105).contains(&all), "{all}");
    }
}
