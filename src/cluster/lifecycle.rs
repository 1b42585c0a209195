//! Lifecycle state: what a pick reads while an upstream drains, ramps up, is down or is rebalanced. At all other times
//! a pick reads the availability bits and pays one load to see that nothing of this applies.

use super::{Gcra, Quota, SlowStartAccess, UpstreamId};
use crate::hash::mix64;
use crate::time::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The lifecycle state of one upstream. Times are in milliseconds since the Unix epoch, 0 for none.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    drain_at: AtomicU64,
    /// A duration in milliseconds, not a time.
    drain_spread: AtomicU64,
    slow_start_since: AtomicU64,
    down_since: AtomicU64,
    admission: Gcra,
    /// A [`SlowStartShare`] as two fixed-point numbers, or 0 without slow start.
    share: AtomicU64,
    turns: Gcra,
    imbalance: Imbalance,
}

/// The sessions of an upstream compared with its share, for rebalancing.
#[derive(Debug, Default)]
pub(crate) struct Imbalance {
    /// The fraction of its sessions, in units of 2^-32, that is to move to others; 0 if it holds no more than its
    /// share.
    pub(crate) excess: AtomicU32,
    /// When that fraction was computed, in milliseconds.
    pub(crate) drawn_at: AtomicU64,
    /// It holds less than its share.
    pub(crate) has_room: AtomicBool,
    /// Rebalancing has moved sessions to it.
    pub(crate) is_filled: AtomicBool,
}

/// The share of new sessions that an upstream in slow start takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowStartShare {
    /// The fraction of all keys, 0 to 1, for policies that hash.
    pub(crate) keys: f64,
    /// One placement in this many, for all other policies.
    pub(crate) interval: f64,
}

/// Fractions of a placement in which the GCRA of turns counts.
const PARTS: u64 = 16;

impl Lifecycle {
    /// Sets when sessions begin to leave and over which time they do; `None` if they stay.
    pub(crate) fn set_drain_deadline(&self, departure: Option<(Timestamp, Duration)>) {
        let (at, over) = departure.unwrap_or_default();
        self.drain_spread.store(u64::try_from(over.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        // Release, so that a thread that acquires the deadline sees its spread.
        self.drain_at.store(at.as_millis(), Ordering::Release);
    }

    /// Whether the drain has a deadline. One relaxed load.
    pub(crate) fn has_drain_deadline(&self) -> bool {
        self.drain_at.load(Ordering::Relaxed) != 0
    }

    /// When the session whose hash is `point` has to leave: the deadline plus a part of the spread, uniform by `point`.
    pub(crate) fn drain_deadline(&self, point: u64) -> Option<Timestamp> {
        let at = self.drain_at.load(Ordering::Acquire);
        if at == 0 {
            return None;
        }
        let over = self.drain_spread.load(Ordering::Relaxed);
        let share = (u128::from(over) * u128::from(mix64(point))) >> 64;
        Some(Timestamp::from_millis(at.saturating_add(share as u64)))
    }

    /// When its slow start began.
    pub(crate) fn slow_start_since(&self) -> Option<Timestamp> {
        time(&self.slow_start_since)
    }

    pub(crate) fn set_slow_start_since(&self, since: Option<Timestamp>) {
        set(&self.slow_start_since, since);
    }

    /// When it went down.
    pub(crate) fn down_since(&self) -> Option<Timestamp> {
        time(&self.down_since)
    }

    pub(crate) fn set_down_since(&self, since: Option<Timestamp>) {
        set(&self.down_since, since);
    }

    /// Limits the new sessions that it takes to a share; `None` without a limit.
    pub(crate) fn set_share(&self, share: Option<SlowStartShare>) {
        let word = share.map_or(0, |SlowStartShare { keys, interval }| {
            let keys = (keys * f64::from(u32::MAX)) as u32;
            let parts = (interval * PARTS as f64) as u32;
            u64::from(keys) << 32 | u64::from(parts.max(1))
        });
        if self.share.load(Ordering::Relaxed) != word {
            self.share.store(word, Ordering::Relaxed);
        }
    }

    /// Whether slow start lets it take a session. One relaxed load where the session has restricted access.
    pub(crate) fn is_open_to(&self, access: SlowStartAccess, id: UpstreamId) -> bool {
        let share = || self.share.load(Ordering::Relaxed);
        match access {
            SlowStartAccess::All => true,
            SlowStartAccess::Turn(number) => share() == 0 || self.turns.is_due(number.saturating_mul(PARTS)),
            SlowStartAccess::Key(point) => match share() {
                0 => true,
                share => mix64(point ^ mix64(id.0)) >> 32 < share >> 32,
            },
        }
    }

    /// Counts a session that was placed on it.
    pub(crate) fn took(&self, access: SlowStartAccess) {
        let interval = self.share.load(Ordering::Relaxed) & u64::from(u32::MAX);
        if let SlowStartAccess::Turn(number) = access
            && interval != 0
        {
            // The burst tolerance of one interval keeps one unused turn: two placements at once are no rush.
            self.turns.force(number.saturating_mul(PARTS), Quota { interval, burst_tolerance: interval });
        }
    }

    /// Its sessions compared with its share, while rebalancing is configured.
    pub(crate) fn imbalance(&self) -> &Imbalance {
        &self.imbalance
    }

    /// The limiter of displaced sessions, in microseconds.
    pub(crate) fn admission(&self) -> &Gcra {
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
    fn drain_deadlines_are_uniform_over_the_spread() {
        let lifecycle = Lifecycle::default();
        assert_eq!(lifecycle.drain_deadline(1), None);
        let deadline = Timestamp::from_secs(1000);
        lifecycle.set_drain_deadline(Some((deadline, Duration::from_secs(100))));
        let mut gone = [0_u32; 10];
        for session_id in 0..10_000 {
            let at = lifecycle.drain_deadline(session_id).unwrap();
            assert!(at >= deadline && at < deadline.after(Duration::from_secs(100)));
            gone[(at.as_millis() - deadline.as_millis()) as usize / 10_000] += 1;
        }
        // Five standard deviations of a binomial count.
        assert!(gone.iter().all(|count| count.abs_diff(1000) < 150), "{gone:?}");
        lifecycle.set_drain_deadline(None);
        assert_eq!(lifecycle.drain_deadline(1), None);
    }
}
