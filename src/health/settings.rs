//! Thresholds and time constants of health checking and outlier ejection.

use crate::settings::settings;
use std::time::Duration;

settings! {
    /// Thresholds and time constants of health checking, outlier ejection, slow start and failover. The defaults suit
    /// instances that keep sessions in memory and restart within seconds.
    #[derive(Clone, Copy, PartialEq, Debug)]
    pub struct HealthSettings {
        /// Thresholds of probes and of connection timeouts.
        probes: Probes = Probes::default(),
        /// Outlier ejection: judgement by the outcomes of requests, and the length of ejections.
        outlier: Outlier = Outlier::default(),
        /// Judgement by silence: requests in flight and no response.
        silence: Silence = Silence::default(),
        /// The ramp of new and returned upstreams.
        slow_start: SlowStart = SlowStart::default(),
        /// The pace at which the sessions of an upstream that is down move to others.
        failover: Failover = Failover::default(),
        /// The time over which sessions leave after a drain's deadline, spread evenly by session id. See
        /// [`Upstream::drain_deadline`](crate::Upstream::drain_deadline). Default 30 s.
        drain_spread: Duration = Duration::from_secs(30),
    }
}

settings! {
    /// Thresholds of probes. A refused probe is proof at once, without a threshold.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Probes {
        /// Failed probes in a row, or connections of requests that timed out in a row, that take an upstream down. At
        /// least 1; default 2.
        fall: u32 = 2,
        /// Passed probes in a row that return an upstream that was down. At least 1; default 2.
        rise: u32 = 2,
    }
}

settings! {
    /// Outlier ejection by the outcomes of requests, after Envoy's outlier detection. An ejected upstream takes no new
    /// sessions and keeps those it has.
    #[derive(Clone, Copy, PartialEq, Debug)]
    pub struct Outlier {
        /// Failures in a row (5xx responses, broken exchanges, timeouts) that eject; 0 disables the rule. Default 5.
        consecutive: u32 = 5,
        /// Failed requests as a fraction of all in the window that ejects, above 0 and up to 1; above 1 disables the
        /// rule. Default 0.5.
        failure_rate: f64 = 0.5,
        /// The window of `failure_rate`, longer than zero. It is kept in two halves, so the rate covers between the
        /// last half and the whole of it. Default 10 s.
        window: Duration = Duration::from_secs(10),
        /// The fewest requests in the window for which `failure_rate` applies. Default 20.
        min_requests: u32 = 20,
        /// The length of the first ejection, longer than zero. An ejection that begins within ten times the length of
        /// the last after its end is twice as long. Each length varies by up to a quarter either way, so that upstreams
        /// that were ejected together do not return together. An upstream that is down by proof is held out in the same
        /// way, beginning with a tenth of this. Default 10 s.
        base: Duration = Duration::from_secs(10),
        /// The longest ejection before the variation, at least `base`. Default 5 min.
        max: Duration = Duration::from_secs(300),
        /// The fraction of the cluster, 0 to 1, that may be out before judgements are ignored. Default 0.5.
        max_ejected: f64 = 0.5,
    }
}

settings! {
    /// Judgement by silence: a process that hangs accepts connections and sends no response.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Silence {
        /// The time without a response, while requests are in flight, after which the upstream is suspect; zero
        /// disables the rule. Default 5 s.
        after: Duration = Duration::from_secs(5),
        /// The fewest requests sent since the last response. With fewer, a single slow request would look like a hang.
        /// Default 3.
        min_requests: u32 = 3,
    }
}

settings! {
    /// The ramp of a new or returned upstream. It takes the fraction max([`min`](Self::min), (elapsed /
    /// [`window`](Self::window))^(1 / [`aggression`](Self::aggression))) of its share of new sessions, which is Envoy's
    /// formula. With `aggression` 1 the ramp is linear, as HAProxy's.
    ///
    /// Slow start refuses no session: where only upstreams in slow start are left, they take all new sessions.
    #[derive(Clone, Copy, PartialEq, Debug)]
    pub struct SlowStart {
        /// The length of the ramp; zero disables slow start. Default 10 s.
        window: Duration = Duration::from_secs(10),
        /// The fraction at the beginning, above 0 and up to 1. Default 0.1.
        min: f64 = 0.1,
        /// The curve, above 0: above 1 rises faster in the beginning, below 1 slower. Default 1.
        aggression: f64 = 1.0,
    }
}

impl SlowStart {
    /// The fraction of its share, 0 to 1, that an upstream takes `elapsed` after the beginning of its slow start.
    #[must_use]
    pub fn fraction(&self, elapsed: Duration) -> f64 {
        if elapsed >= self.window {
            return 1.0;
        }
        let linear = elapsed.as_secs_f64() / self.window.as_secs_f64();
        linear.powf(1.0 / self.aggression).max(self.min)
    }
}

settings! {
    /// The pace at which the sessions of an upstream that is down move to others.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Failover {
        /// The displaced sessions that one upstream admits per second; further ones wait. 0 is no limit; default 500.
        rate: u32 = 500,
        /// How long sessions wait for an upstream that is down to return before they move. Default zero.
        return_timeout: Duration = Duration::ZERO,
    }
}

/// A setting is out of its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name} must be {range}")]
pub struct HealthSettingsError {
    /// The setting, such as `outlier.failure_rate`.
    pub name: &'static str,
    /// Its range, as a phrase that follows "must be".
    pub range: &'static str,
}

impl HealthSettings {
    /// Checks that each setting is in its range.
    ///
    /// # Errors
    /// [`HealthSettingsError`] for the first setting out of its range.
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
