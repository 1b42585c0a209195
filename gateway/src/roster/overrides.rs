//! An operator's changes above configuration and registration.

use homing::cluster::UpstreamConfig;
use homing::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Overrides, by the name of the upstream.
pub type Overrides = BTreeMap<String, Override>;

/// An operator's change of one upstream, which outlives reloads and registrations.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// Its address, weight or limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put: Option<UpstreamOverride>,
    /// It is removed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// It is drained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainOverride>,
}

impl Override {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The settings that an override sets. Those that are `None` come from the layers below, so that a changed weight keeps
/// following an address that configuration or registration changes later.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamOverride {
    /// Its address. An upstream that no lower layer has needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its weight, 1 to 65535; 1 where no layer sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Its limit of requests in flight; 0, also where no layer sets it, is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
}

impl UpstreamOverride {
    /// The override that makes `config` of the lower layers' `below`; `None` where they are equal. With an address of
    /// its own it sets everything.
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

    /// The upstream that it makes of the lower layers' `below`; `None` where no layer has an address.
    pub(super) fn over(&self, name: &str, below: Option<&UpstreamConfig>) -> Option<UpstreamConfig> {
        let address = self.address.as_ref().or(below.map(|below| &below.address))?;
        let weight = self.weight.or(below.map(|below| below.weight)).unwrap_or(1);
        let limit = self.max_in_flight.or(below.map(|below| below.max_in_flight)).unwrap_or(0);
        Some(UpstreamConfig::new(name, address).weight(weight).max_in_flight(limit))
    }
}

/// A drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainOverride {
    /// When its sessions begin to leave, in milliseconds since the Unix epoch; `None`: they stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
