//! Outcomes of requests, counted as they end; [`health`](crate::health) reads them with each tick.

use std::sync::atomic::{AtomicU32, Ordering};

/// Responses are counted without a read-modify-write: two concurrent ones may count as one, which does not matter,
/// since only whether there were any is read. Failures are rare and counted exactly.
#[derive(Debug, Default)]
pub(crate) struct OutcomeCounters {
    responses: AtomicU32,
    failures: AtomicU32,
    /// Failures since the last response.
    streak: AtomicU32,
}

impl OutcomeCounters {
    pub(crate) fn responded(&self) {
        self.responses.store(self.responses.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure and returns how many there were in a row.
    pub(crate) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.streak.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Changes with every response.
    pub(crate) fn responses(&self) -> u32 {
        self.responses.load(Ordering::Relaxed)
    }

    /// All failures, wrapping.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Forgets the streak of failures.
    pub(crate) fn forgive(&self) {
        self.streak.store(0, Ordering::Relaxed);
    }
}
