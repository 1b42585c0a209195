//! `[[upstream]]`.

use super::value;
use crate::UpstreamConfig;
use serde::Deserialize;

/// `[[upstream]]`: one instance that serves requests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Its name, 1 to 255 bytes of visible ASCII; sessions follow the name.
    #[serde(deserialize_with = "value::upstream_name")]
    pub name: String,
    /// `host:port` as configured; the host is an IP address (IPv6 in brackets) or a DNS name.
    #[serde(deserialize_with = "value::address")]
    pub address: String,
    /// Its share of new sessions, 1 to 65535. Default: 1.
    #[serde(default = "one", deserialize_with = "value::integer::<1, 65_535, _, _>")]
    pub weight: u16,
    /// The most requests and tunnels at once; 0 is no limit. Default: 0.
    #[serde(default, deserialize_with = "value::integer::<0, 4_294_967_295, _, _>")]
    pub max_in_flight: u32,
}

impl Upstream {
    /// What the balancer is configured with.
    #[must_use]
    pub fn to_core(&self) -> UpstreamConfig {
        UpstreamConfig::new(&self.name, &self.address).weight(self.weight).max_in_flight(self.max_in_flight)
    }
}

impl From<&UpstreamConfig> for Upstream {
    fn from(config: &UpstreamConfig) -> Self {
        let UpstreamConfig { name, address, weight, max_in_flight } = config.clone();
        Self { name, address, weight, max_in_flight }
    }
}

fn one() -> u16 {
    1
}
