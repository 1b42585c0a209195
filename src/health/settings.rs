//! How quickly what is believed, and for how long.

use std::time::Duration;

/// All of them. The defaults suit instances that keep sessions in memory and restart within seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HealthSettings {
    /// How many probes it takes.
    pub probes: Probes,
    /// Judgement by the outcomes of requests, and for how long it holds.
    pub outlier: Outlier,
    /// Judgement by silence.
    pub silence: Silence,
    /// How new and returned upstreams are filled.
    pub slow_start: SlowStart,
    /// How the sessions of one that is gone are moved.
    pub failover: Failover,
    /// After a drain's deadline, sessions leave over this time, each at a moment of its own. See
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

/// How many probes it takes. A refused one is proof at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probes {
    /// Failed in a row until it counts. At least 1; default 2.
    pub fall: u32,
    /// Passed in a row until an upstream that was down returns. At least 1; default 2.
    pub rise: u32,
}

/// Judgement by the outcomes of requests, as Envoy's outlier detection has it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outlier {
    /// Failures in a row (5xx answers, broken exchanges, timeouts); 0 for no such rule. Default 5.
    pub consecutive: u32,
    /// Failed requests of all in the window, above 0 and up to 1; above 1 for no such rule. Default 0.5.
    pub failure_rate: f64,
    /// The window, of which the rate is taken over the last half to whole. Default 10 s.
    pub window: Duration,
    /// With fewer requests in the window the rate says nothing. Default 20.
    pub min_requests: u32,
    /// How long the first judgement holds. Each further one within ten times its length holds twice as long, give or
    /// take a quarter. An upstream that is down by proof and returns is held back likewise, from a tenth of it on.
    /// Default 10 s.
    pub base: Duration,
    /// The longest. Default 5 min.
    pub max: Duration,
    /// The part of the cluster, 0 to 1, that may be out before judgements are ignored. Default 0.5.
    pub max_ejected: f64,
}

/// Judgement by silence: a process that hangs takes connections and answers nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Silence {
    /// For how long nobody was answered; zero for no such rule. Default 5 s.
    pub after: Duration,
    /// How many requests must have come meanwhile, or it may just be a slow one. Default 3.
    pub min_requests: u32,
}

/// How new and returned upstreams are filled: with the part max([`min`](Self::min), (elapsed /
/// [`window`](Self::window))^(1 / [`aggression`](Self::aggression))) of their share, which is Envoy's formula. With
/// `aggression` 1 it is a line, as HAProxy's.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SlowStart {
    /// How long it takes; zero for none. Default 10 s.
    pub window: Duration,
    /// The part they begin with, above 0 and up to 1. Default 0.1.
    pub min: f64,
    /// Above 1 fills faster in the beginning, below 1 slower. Default 1.
    pub aggression: f64,
}

impl SlowStart {
    /// The part of its share, 0 to 1, that an upstream has been given after `elapsed`.
    #[must_use]
    pub fn fraction(&self, elapsed: Duration) -> f64 {
        if elapsed >= self.window {
            return 1.0;
        }
        let linear = elapsed.as_secs_f64() / self.window.as_secs_f64();
        linear.powf(1.0 / self.aggression).max(self.min)
    }
}

/// How the sessions of an upstream that is gone are moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failover {
    /// How many displaced sessions a second one upstream takes; the rest wait a moment. 0 for no limit; default 500.
    pub rate: u32,
    /// How long sessions wait for an upstream that is down to come back, before they are moved. Default zero.
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

/// A setting that makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name} must be {range}")]
pub struct HealthSettingsError {
    /// Its name, such as `outlier.failure_rate`.
    pub name: &'static str,
    /// What it may be.
    pub range: &'static str,
}

impl HealthSettings {
    /// Whether they make sense.
    ///
    /// # Errors
    /// [`HealthSettingsError`] for the first that does not.
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
