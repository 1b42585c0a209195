//! Thresholds and time constants of health checking and outlier ejection.

use std::time::Duration;

/// All thresholds. The defaults suit instances that keep sessions in memory and restart within seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HealthSettings {
    /// Health checking: how many probes it takes.
    pub probes: Probes,
    /// Outlier ejection: judgement by the outcomes of requests, and for how long it holds.
    pub outlier: Outlier,
    /// Outlier ejection of upstreams that do not respond.
    pub silence: Silence,
    /// Slow start of new and returned upstreams.
    pub slow_start: SlowStart,
    /// Failover: how the sessions of an upstream that is down move.
    pub failover: Failover,
    /// After a drain's deadline, sessions leave over this time, each at a time that depends on its id. See
    /// [`Upstream::drain_deadline`](crate::Upstream::drain_deadline). Default 30 s.
    pub drain_spread: Duration,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            probes: Probes::default(),
            outlier: Outlier::default(),
            silence: Silence::default(),
            slow_start: SlowStart::default(),
            failover: Failover::default(),
            drain_spread: Duration::from_secs(30),
        }
    }
}

/// How many probes it takes. A refused probe is proof at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probes {
    /// Failed in a row until the upstream counts as down. At least 1; default 2.
    pub fall: u32,
    /// Passed in a row until an upstream that was down returns. At least 1; default 2.
    pub rise: u32,
}

/// Outlier ejection by the outcomes of requests, as in Envoy's outlier detection.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outlier {
    /// Failures in a row (5xx responses, broken exchanges, timeouts); 0 turns the rule off. Default 5.
    pub consecutive: u32,
    /// Fraction of failed requests in the window, above 0 and up to 1; above 1 turns the rule off. Default 0.5.
    pub failure_rate: f64,
    /// The window; the rate is taken over its last half to whole. Default 10 s.
    pub window: Duration,
    /// With fewer requests in the window the rate is not judged. Default 20.
    pub min_requests: u32,
    /// How long the first ejection lasts. Each further one within ten times its length lasts twice as long, plus or
    /// minus a quarter. An upstream that is proven down and returns is held back likewise, starting from a tenth of
    /// it. Default 10 s.
    pub base: Duration,
    /// The longest ejection. Default 5 min.
    pub max: Duration,
    /// The fraction of the cluster, 0 to 1, that may be out before judgements are ignored. Default 0.5.
    pub max_ejected: f64,
}

/// Outlier ejection of silent upstreams: a process that hangs accepts connections and sends no response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Silence {
    /// How long without any response; zero turns the rule off. Default 5 s.
    pub after: Duration,
    /// How many requests must have arrived meanwhile: fewer may just be slow ones. Default 3.
    pub min_requests: u32,
}

/// Slow start: upstreams get the fraction max([`min`](Self::min), (elapsed / [`window`](Self::window))^(1 /
/// [`aggression`](Self::aggression))) of their share, which is Envoy's formula. With `aggression` 1 it is linear, as
/// in HAProxy.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SlowStart {
    /// How long it takes; zero turns it off. Default 10 s.
    pub window: Duration,
    /// The initial fraction, above 0 and up to 1. Default 0.1.
    pub min: f64,
    /// Above 1 ramps up faster in the beginning, below 1 slower. Default 1.
    pub aggression: f64,
}

impl SlowStart {
    /// The fraction of its share, 0 to 1, that an upstream gets after `elapsed`.
    #[must_use]
    pub fn fraction(&self, elapsed: Duration) -> f64 {
        if elapsed >= self.window {
            return 1.0;
        }
        let linear = elapsed.as_secs_f64() / self.window.as_secs_f64();
        linear.powf(1.0 / self.aggression).max(self.min)
    }
}

/// How the sessions of an upstream that is down move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failover {
    /// How many displaced sessions a second one upstream admits; the others wait. 0 is no limit; default 500.
    pub rate: u32,
    /// How long sessions wait for their upstream to return before they move. Default zero.
    pub return_timeout: Duration,
}

impl Default for Probes {
    fn default() -> Self {
        Self { fall: 2, rise: 2 }
    }
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive: 5,
            failure_rate: 0.5,
            window: Duration::from_secs(10),
            min_requests: 20,
            base: Duration::from_secs(10),
            max: Duration::from_mins(5),
            max_ejected: 0.5,
        }
    }
}

impl Default for Silence {
    fn default() -> Self {
        Self { after: Duration::from_secs(5), min_requests: 3 }
    }
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), min: 0.1, aggression: 1.0 }
    }
}

impl Default for Failover {
    fn default() -> Self {
        Self { rate: 500, return_timeout: Duration::ZERO }
    }
}

/// A setting out of its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name} must be {range}")]
pub struct HealthSettingsError {
    /// Its name, such as `outlier.failure_rate`.
    pub name: &'static str,
    /// Its range.
    pub range: &'static str,
}

impl HealthSettings {
    /// Checks that all settings are in their ranges.
    ///
    /// # Errors
    /// [`HealthSettingsError`] for the first that is not.
    pub fn check(&self) -> Result<(), HealthSettingsError> {
        let Self { probes, outlier, slow_start, .. } = self;
        let rules = [
            (probes.fall > 0, "probes.fall", "at least 1"),
            (probes.rise > 0, "probes.rise", "at least 1"),
            (outlier.failure_rate > 0.0, "outlier.failure_rate", "above 0"),
            (!outlier.window.is_zero(), "outlier.window", "longer than zero"),
            (!outlier.base.is_zero(), "outlier.base", "longer than zero"),
            (outlier.max >= outlier.base, "outlier.max", "at least outlier.base"),
            ((0.0..=1.0).contains(&outlier.max_ejected), "outlier.max_ejected", "from 0 to 1"),
            (slow_start.min > 0.0 && slow_start.min <= 1.0, "slow_start.min", "above 0 and up to 1"),
            (slow_start.aggression > 0.0 && slow_start.aggression.is_finite(), "slow_start.aggression", "above 0"),
        ];
        match rules.iter().find(|(holds, ..)| !holds) {
            Some(&(_, name, range)) => Err(HealthSettingsError { name, range }),
            None => Ok(()),
        }
    }
}
