//! Tables whose keys are settings of the proxy, one by one. A key that is left out has the library's default.

use super::value;
use homing::proxy::{QueueSettings, RetrySettings};
use serde::Deserialize;
use std::time::Duration;

/// `[queue]`.
#[derive(Deserialize)]
#[serde(remote = "QueueSettings", default = "QueueSettings::default", deny_unknown_fields)]
pub(super) struct QueueTable {
    #[serde(deserialize_with = "value::integer::<0, 1_000_000, _, _>")]
    size: usize,
    #[serde(deserialize_with = "value::timeout")]
    timeout: Duration,
}

/// `[retry]`.
#[derive(Deserialize)]
#[serde(remote = "RetrySettings", default = "RetrySettings::default", deny_unknown_fields)]
pub(super) struct RetryTable {
    #[serde(deserialize_with = "value::part")]
    ratio: f64,
    #[serde(deserialize_with = "value::integer::<0, 1_000_000, _, _>")]
    min_per_second: u32,
}
