//! Coming, going and gone: what a pick has to know of an upstream beyond its verdicts, which are all it has to know
//! most of the time.

use super::Pacer;
use crate::hash::mix64;
use crate::time::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each number is a time in milliseconds, or 0 for none.
#[derive(Debug, Default)]
pub(crate) struct Course {
    leaves_at: AtomicU64,
    /// A length, not a time.
    leaves_over: AtomicU64,
    warm_since: AtomicU64,
    down_since: AtomicU64,
    admission: Pacer,
}

impl Course {
    /// Sessions leave from `at` on, over `spread`; `None`: they stay.
    pub(crate) fn set_departure(&self, departure: Option<(Timestamp, Duration)>) {
        let (at, over) = departure.unwrap_or_default();
        self.leaves_over.store(u64::try_from(over.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        // Released, so that who sees the moment sees its spread.
        self.leaves_at.store(at.as_millis(), Ordering::Release);
    }

    /// When the session that `point` stands for has to leave.
    pub(crate) fn departure(&self, point: u64) -> Option<Timestamp> {
        let at = self.leaves_at.load(Ordering::Acquire);
        if at == 0 {
            return None;
        }
        let over = self.leaves_over.load(Ordering::Relaxed);
        let share = (u128::from(over) * u128::from(mix64(point))) >> 64;
        Some(Timestamp::from_millis(at.saturating_add(share as u64)))
    }

    /// Since when its slow start runs.
    pub(crate) fn warm_since(&self) -> Option<Timestamp> {
        time(&self.warm_since)
    }

    pub(crate) fn set_warm_since(&self, since: Option<Timestamp>) {
        set(&self.warm_since, since);
    }

    /// Since when it is down by proof.
    pub(crate) fn down_since(&self) -> Option<Timestamp> {
        time(&self.down_since)
    }

    pub(crate) fn set_down_since(&self, since: Option<Timestamp>) {
        set(&self.down_since, since);
    }

    /// When the next displaced session may come, in microseconds.
    pub(crate) fn admission(&self) -> &Pacer {
        &self.admission
    }
}

fn time(cell: &AtomicU64) -> Option<Timestamp> {
    match cell.load(Ordering::Relaxed) {
        0 => None,
        millis => Some(Timestamp::from_millis(millis)),
    }
}

fn set(cell: &AtomicU64, time: Option<Timestamp>) {
    cell.store(time.map_or(0, |time| time.as_millis().max(1)), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_leave_evenly_over_the_spread() {
        let course = Course::default();
        assert_eq!(course.departure(1), None);
        let deadline = Timestamp::from_secs(1000);
        course.set_departure(Some((deadline, Duration::from_secs(100))));
        let mut gone = [0_u32; 10];
        for nonce in 0..10_000 {
            let at = course.departure(nonce).unwrap();
            assert!(at >= deadline && at < deadline.after(Duration::from_secs(100)));
            gone[(at.as_millis() - deadline.as_millis()) as usize / 10_000] += 1;
        }
        // Five standard deviations of a binomial count.
        assert!(gone.iter().all(|count| count.abs_diff(1000) < 150), "{gone:?}");
        course.set_departure(None);
        assert_eq!(course.departure(1), None);
    }
}
