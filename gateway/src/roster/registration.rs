//! An instance that registered itself.

use homing::cluster::UpstreamConfig;
use homing::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The shortest time for which a registration may last without a heartbeat.
pub const MIN_TTL: Duration = Duration::from_secs(1);

/// The longest time for which a registration may last without a heartbeat.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Registrations, by the name of the upstream.
pub type Registrations = BTreeMap<String, Registration>;

/// An instance that registered itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Its address.
    pub address: String,
    /// Its weight, 1 to 65535.
    pub weight: u16,
    /// The most it may have in flight; 0 is no limit.
    pub max_in_flight: u32,
    /// For how long it lasts without a heartbeat. Saved in whole milliseconds.
    #[serde(rename = "ttl_ms", with = "millis")]
    pub ttl: Duration,
    /// It has deregistered with a drain: when its sessions begin to leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Timestamp>,
    /// No heartbeat for its TTL: when its sessions begin to leave. Not saved, since after a restart heartbeats may come
    /// again.
    #[serde(skip)]
    pub(super) silent: Option<Timestamp>,
}

impl Registration {
    pub(super) fn new(config: UpstreamConfig, ttl: Duration) -> Self {
        let UpstreamConfig { name: _, address, weight, max_in_flight, .. } = config;
        Self { address, weight, max_in_flight, ttl, leaving: None, silent: None }
    }

    pub(super) fn config(&self, name: &str) -> UpstreamConfig {
        UpstreamConfig::new(name, &self.address).weight(self.weight).max_in_flight(self.max_in_flight)
    }

    /// When its sessions begin to leave, where it has deregistered or is silent.
    pub(super) fn drain_deadline(&self) -> Option<Timestamp> {
        self.leaving.into_iter().chain(self.silent).min()
    }
}

mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
