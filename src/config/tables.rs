//! Tables that are settings of the library itself, key by key. What is left out has the library's default.

use super::value;
use crate::health::{Failover, HealthSettings, Outlier, SlowStart};
use serde::Deserialize;
use std::time::Duration;

/// `[outlier]`. Its floats are checked with the settings of health together.
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

/// `[slow_start]`. Its floats are checked likewise.
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

/// `[drain]`: how an upstream is emptied.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// After a drain's deadline, sessions and tunnels leave over this time. Default: 30 seconds.
    #[serde(deserialize_with = "value::duration_or_zero")]
    pub spread: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { spread: HealthSettings::default().drain_spread }
    }
}

/// `[rebalance]`: how sessions move to upstreams that were added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rebalance {
    /// The most sessions a minute that are moved, up to 1,000,000; 0 moves none. Default: 0.
    #[serde(deserialize_with = "value::integer::<0, 1_000_000, _, _>")]
    pub budget: u32,
}
