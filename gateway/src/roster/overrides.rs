//! What is said of an upstream, and kept: an operator's orders, and registrations.

use homing::cluster::UpstreamConfig;
use homing::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// An operator's orders, by the name of the upstream.
pub type Overrides = BTreeMap<String, Override>;

/// Registrations, by the name of the upstream.
pub type Registrations = BTreeMap<String, Registration>;

/// What an operator says of one upstream, whatever others say.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// How it is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put: Option<UpstreamOverride>,
    /// That it is not to be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// That it is to take no new sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainOverride>,
}

impl Override {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How an operator wants an upstream to be. What is `None` is as others say, so that a changed weight does not hold on to an
/// address that has moved since.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamOverride {
    /// Where it is reached. An upstream that nobody else knows needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its weight, 1 to 65535; 1 where nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// The most it may have in flight; 0, also where nobody says, is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
}

impl UpstreamOverride {
    /// What has to be said for `config` to come of `below`, if anything. With another address it stands by itself.
    pub(super) fn difference(config: &UpstreamConfig, below: Option<&UpstreamConfig>) -> Option<Self> {
        let below = below.filter(|below| below.address == config.address);
        let placed = Self {
            address: below.is_none().then(|| config.address.clone()),
            weight: below.is_none_or(|below| below.weight != config.weight).then_some(config.weight),
            max_in_flight: below
                .is_none_or(|below| below.max_in_flight != config.max_in_flight)
                .then_some(config.max_in_flight),
        };
        (placed != Self::default()).then_some(placed)
    }

    /// The upstream that comes of it over `below`; none where nobody says an address.
    pub(super) fn over(&self, name: &str, below: Option<&UpstreamConfig>) -> Option<UpstreamConfig> {
        let address = self.address.as_ref().or(below.map(|below| &below.address))?;
        let weight = self.weight.or(below.map(|below| below.weight)).unwrap_or(1);
        let limit = self.max_in_flight.or(below.map(|below| below.max_in_flight)).unwrap_or(0);
        Some(UpstreamConfig::new(name, address).weight(weight).max_in_flight(limit))
    }
}

/// A drain that an operator ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainOverride {
    /// When the sessions it has begin to leave, in milliseconds since the Unix epoch; `None`: they stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// An instance that put itself there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Where it is reached.
    pub address: String,
    /// Its weight, 1 to 65535.
    pub weight: u16,
    /// The most it may have in flight; 0 is no limit.
    pub max_in_flight: u32,
    /// After how long a silence it is no longer believed to be there. Whole milliseconds are kept.
    #[serde(rename = "ttl_ms", with = "millis")]
    pub ttl: Duration,
    /// It has said that it goes: when the sessions it has begin to leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Timestamp>,
    /// It has been silent for too long: when the sessions it has begin to leave. Not kept: after a restart it may be heard
    /// of again.
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

    /// When its sessions begin to leave, where it goes.
    pub(super) fn departure(&self) -> Option<Timestamp> {
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

/// All that a roster keeps from one run to the next.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RosterState {
    /// What operators ordered.
    #[serde(rename = "orders")]
    pub overrides: Overrides,
    /// Which instances put themselves there.
    pub registered: Registrations,
}
