//! Tables whose keys are settings of the proxy, one by one. A key that is left out has the library's default.

use super::value;
use homing::proxy::{QueueSettings, RetrySettings};
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// `[queue]`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct QueueTable {
    #[serde(deserialize_with = "value::integer::<0, 1_000_000, _, _>")]
    size: usize,
    #[serde(deserialize_with = "value::timeout")]
    timeout: Duration,
}

impl Default for QueueTable {
    fn default() -> Self {
        let QueueSettings { size, timeout, .. } = QueueSettings::default();
        Self { size, timeout }
    }
}

impl QueueTable {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QueueSettings, D::Error> {
        let Self { size, timeout } = Deserialize::deserialize(deserializer)?;
        Ok(QueueSettings::default().size(size).timeout(timeout))
    }
}

/// `[retry]`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetryTable {
    #[serde(deserialize_with = "value::part")]
    ratio: f64,
    #[serde(deserialize_with = "value::integer::<0, 1_000_000, _, _>")]
    min_per_second: u32,
}

impl Default for RetryTable {
    fn default() -> Self {
        let RetrySettings { ratio, min_per_second, .. } = RetrySettings::default();
        Self { ratio, min_per_second }
    }
}

impl RetryTable {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RetrySettings, D::Error> {
        let Self { ratio, min_per_second } = Deserialize::deserialize(deserializer)?;
        Ok(RetrySettings::default().ratio(ratio).min_per_second(min_per_second))
    }
}
