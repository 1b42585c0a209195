//! Tables that map one to one to settings of the core. A key that is absent has the core's default.

use super::value;
use crate::health::{Failover, HealthSettings, Outlier, SlowStart};
use serde::Deserialize;
use std::time::Duration;

/// `[outlier]`. Its floats are validated with all health settings, by `HealthSettings::check`.
#[derive(Deserialize)]
#[serde(remote = "Outlier", default = "Outlier::default", deny_unknown_fields)]
pub struct OutlierTable {
    #[serde(deserialize_with = "value::integer::<0, 1_000_000, _, _>")]
    consecutive: u32,
    #[serde(deserialize_with = "value::number")]
    failure_rate: f64,
    #[serde(deserialize_with = "value::timeout")]
    window: Duration,
    #[serde(deserialize_with = "value::integer::<0, 1_000_000, _, _>")]
    min_requests: u32,
    #[serde(deserialize_with = "value::timeout")]
    base: Duration,
    #[serde(deserialize_with = "value::timeout")]
    max: Duration,
    #[serde(deserialize_with = "value::number")]
    max_ejected: f64,
}

/// `[slow_start]`. Its floats are validated likewise.
#[derive(Deserialize)]
#[serde(remote = "SlowStart", default = "SlowStart::default", deny_unknown_fields)]
pub struct SlowStartTable {
    #[serde(deserialize_with = "value::duration_or_zero")]
    window: Duration,
    #[serde(deserialize_with = "value::number")]
    min: f64,
    #[serde(deserialize_with = "value::number")]
    aggression: f64,
}

/// `[failover]`.
#[derive(Deserialize)]
#[serde(remote = "Failover", default = "Failover::default", deny_unknown_fields)]
pub struct FailoverTable {
    #[serde(deserialize_with = "value::integer::<0, 1_000_000, _, _>")]
    rate: u32,
    #[serde(rename = "hold", deserialize_with = "value::duration_or_zero")]
    return_timeout: Duration,
}

/// `[drain]`: how draining upstreams lose their sessions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// The time after the drain deadline over which sessions and tunnels leave. Default: 30 seconds.
    #[serde(deserialize_with = "value::duration_or_zero")]
    pub spread: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { spread: HealthSettings::default().drain_spread }
    }
}

/// `[rebalance]`: how sessions move to added upstreams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rebalance {
    /// The most sessions moved a minute, up to 1,000,000; 0 turns rebalancing off. Default: 0.
    #[serde(deserialize_with = "value::integer::<0, 1_000_000, _, _>")]
    pub budget: u32,
}
