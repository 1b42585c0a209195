//! Time: a number that the host passes in. The core reads no clock.
//!
//! Hosts read a [`Clock`] once per request and pass the [`Timestamp`] on. [`SystemClock`] is the wall clock;
//! [`FakeClock`] is for tests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the clock readings of two threads may be apart. One that lies further back was taken after the clock was set
/// back, and what was dated before moves with it; one that lies further ahead follows a pause in which nothing was
/// observed.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// A moment of wall-clock time, in milliseconds since the Unix epoch.
///
/// Tokens are read on several machines, so their times are wall-clock times. These can jump, so differences between two
/// timestamps saturate at zero, and nothing assumes that time only grows.
///
/// It converts from and to [`SystemTime`], saturating at both ends:
///
/// ```
/// use homing::Timestamp;
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
///
/// let at = UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
/// assert_eq!(Timestamp::from(at), Timestamp::from_millis(1_700_000_000_123));
/// assert_eq!(SystemTime::from(Timestamp::from_secs(1)), UNIX_EPOCH + Duration::from_secs(1));
/// assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)), Timestamp::default(), "before the epoch");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `secs` seconds after the Unix epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// The moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Microseconds since the Unix epoch, saturating.
    pub(crate) const fn as_micros(self) -> u64 {
        self.0.saturating_mul(1000)
    }

    /// This moment plus `duration`, to the millisecond, saturating.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This moment less `duration`, to the millisecond, saturating.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The last whole second of every platform's [`SystemTime`]: Windows counts intervals of 100 ns since 1601 in 63 bits,
/// which ends in the year 30828.
const LAST_SYSTEM_TIME: Timestamp = Timestamp::from_secs(910_692_730_085);

/// To the millisecond below. A time before the Unix epoch becomes the epoch.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A moment beyond the year 30828 becomes the last that all platforms can express, on all platforms.
impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(timestamp.min(LAST_SYSTEM_TIME).0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// A host's source of the time. Implementations are read from many threads concurrently.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current time. Called once per request, so it should cost tens of nanoseconds at most.
    fn now(&self) -> Timestamp;
}

/// The operating system's wall clock. A time before 1970 reads as the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}

/// A shared clock, so that a test can keep a [`FakeClock`] and move it.
impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// A clock for tests, which changes only by [`advance`](Self::advance) and [`set`](Self::set).
///
/// ```
/// use homing::time::{Clock, FakeClock};
/// use homing::Timestamp;
/// use std::time::Duration;
///
/// let clock = FakeClock::new(Timestamp::from_secs(1000));
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(clock.now(), Timestamp::from_secs(1030));
/// ```
#[derive(Debug, Default)]
pub struct FakeClock(AtomicU64);

impl FakeClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }

    /// Moves the clock to `now`, which may lie in the past.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_times_convert_both_ways_and_saturate() {
        for millis in [0, 1, 999, 1_700_000_000_123, LAST_SYSTEM_TIME.0] {
            let timestamp = Timestamp::from_millis(millis);
            assert_eq!(Timestamp::from(SystemTime::from(timestamp)), timestamp);
        }
        assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_nanos(1_999_999)), Timestamp::from_millis(1));
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(3600)), Timestamp::default());
        assert_eq!(SystemTime::from(Timestamp::from_millis(u64::MAX)), SystemTime::from(LAST_SYSTEM_TIME));
    }
}
