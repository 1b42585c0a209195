//! The average response latency of an upstream, which follows a peak at once and decays slowly.

use crate::time::Timestamp;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Exponentially weighted by time, sensitive to peaks: Finagle's `PeakEwma`, in one word.
#[derive(Debug)]
pub(super) struct Latency {
    /// The average in seconds (an f32 above zero), and when it was updated (milliseconds, wrapping after 49 days). 0
    /// until the first observation.
    word: AtomicU64,
    /// The time constant in milliseconds; 0 while no policy uses the average.
    decay: AtomicU32,
}

/// An elapsed time above this is a clock that was set back, by up to three days. Below it, time has passed: up to 46
/// days.
const SET_BACK: u32 = u32::MAX - (1 << 28);

#[derive(Clone, Copy)]
struct Average {
    seconds: f32,
    at: u32,
}

impl Average {
    fn unpack(word: u64) -> Option<Self> {
        (word != 0).then_some(Self { seconds: f32::from_bits((word >> 32) as u32), at: word as u32 })
    }

    fn pack(self) -> u64 {
        u64::from(self.seconds.max(f32::MIN_POSITIVE).to_bits()) << 32 | u64::from(self.at)
    }

    /// The fraction of it that is left at `now`. A clock that was set back leaves it whole.
    fn left(self, now: u32, decay: u32) -> f32 {
        match now.wrapping_sub(self.at) {
            0 | SET_BACK.. => 1.0,
            elapsed => (-(elapsed as f32) / decay as f32).exp(),
        }
    }
}

fn millis(now: Timestamp) -> u32 {
    now.as_millis() as u32
}

impl Latency {
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(0), decay: AtomicU32::new(0) }
    }

    /// Enables the average, with this time constant.
    pub(super) fn follow(&self, decay: Duration) {
        let millis = u32::try_from(decay.as_millis()).unwrap_or(u32::MAX);
        self.decay.store(millis.max(1), Ordering::Relaxed);
    }

    pub(super) fn is_followed(&self) -> bool {
        self.decay.load(Ordering::Relaxed) != 0
    }

    pub(super) fn observe(&self, latency: Duration, now: Timestamp) {
        let decay = self.decay.load(Ordering::Relaxed);
        if decay == 0 {
            return;
        }
        let (latest, at) = (latency.as_secs_f32(), millis(now));
        // A compare-exchange loop, so that no peak is lost to a concurrent observation.
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let seconds = match Average::unpack(seen) {
                Some(average) if latest <= average.seconds => {
                    let left = average.left(at, decay);
                    average.seconds * left + latest * (1.0 - left)
                }
                _ => latest,
            };
            let next = Average { seconds, at }.pack();
            match self.word.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    pub(super) fn seconds(&self, now: Timestamp) -> Option<f32> {
        let average = Average::unpack(self.word.load(Ordering::Relaxed))?;
        Some(average.seconds * average.left(millis(now), self.decay.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_700_000_000);
    const MS: Duration = Duration::from_millis(1);

    fn followed() -> Latency {
        let latency = Latency::new();
        latency.follow(Duration::from_secs(10));
        latency
    }

    fn assert_close(latency: &Latency, now: Timestamp, millis: f32) {
        let ours = latency.seconds(now).unwrap() * 1000.0;
        assert!((ours - millis).abs() < millis * 0.001, "{ours} ms, and not {millis}");
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_with_time() {
        let latency = followed();
        latency.observe(10 * MS, START);
        latency.observe(1000 * MS, START.after(MS));
        assert_close(&latency, START.after(MS), 1000.0);
        // Without observations it decays towards zero, with one towards that.
        let later = START.after(Duration::from_secs(10) + MS);
        assert_close(&latency, later, 1000.0 / std::f32::consts::E);
        latency.observe(10 * MS, later);
        assert_close(&latency, later, 1000.0 / std::f32::consts::E + 10.0 * (1.0 - 1.0 / std::f32::consts::E));
    }

    #[test]
    fn an_average_of_an_observation_every_millisecond_converges() {
        let latency = followed();
        latency.observe(100 * MS, START);
        for i in 0..60_000 {
            latency.observe(50 * MS, START.after(i * MS));
        }
        assert_close(&latency, START.after(60_000 * MS), 50.0 + 50.0 * (-6.0_f32).exp());
    }

    #[test]
    fn a_clock_set_back_leaves_the_average_whole() {
        let latency = followed();
        latency.observe(100 * MS, START);
        let back = Timestamp::from_secs(START.as_secs() - 86_400);
        assert_close(&latency, back, 100.0);
        latency.observe(50 * MS, back);
        assert_close(&latency, back, 100.0);
        assert_close(&latency, back.after(Duration::from_secs(10)), 100.0 / std::f32::consts::E);
    }

    #[test]
    fn nothing_is_measured_until_a_policy_asks_for_it() {
        let latency = Latency::new();
        latency.observe(MS, START);
        assert_eq!(latency.seconds(START), None);
        latency.follow(Duration::ZERO);
        latency.observe(Duration::ZERO, Timestamp::default());
        assert!(latency.seconds(START).is_some_and(|seconds| seconds < 1e-9));
    }
}
