//! What requests tell of an upstream in passing, for [`health`](crate::health) to look at now and then.

use std::sync::atomic::{AtomicU32, Ordering};

/// Answers are noted without a read-modify-write: two that race may count as one, which changes nothing, since what
/// matters is whether there were any. Failures are rare and counted exactly.
#[derive(Debug, Default)]
pub(crate) struct OutcomeCounters {
    answers: AtomicU32,
    failures: AtomicU32,
    /// Failures since the last answer.
    streak: AtomicU32,
}

impl OutcomeCounters {
    pub(crate) fn answered(&self) {
        self.answers.store(self.answers.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure and returns how many there were in a row.
    pub(crate) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.streak.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Changes with every answer.
    pub(crate) fn answers(&self) -> u32 {
        self.answers.load(Ordering::Relaxed)
    }

    /// All failures, wrapping.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// What went before does not count any more.
    pub(crate) fn forgive(&self) {
        self.streak.store(0, Ordering::Relaxed);
    }
}
