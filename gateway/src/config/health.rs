//! `[health]`, and how the tables become the settings of the balancer and of its health checks.

use super::{GatewayConfig, value};
use homing::config::balancer_tables::BalancerTables;
use homing::health::{HealthSettings, Probes, Silence};
use homing::proxy::{ProbeProfile, ProbeSettings};
use http::HeaderName;
use serde::Deserialize;
use std::time::Duration;

/// The path where Wisej responds to probes by default.
const WISEJ_PATH: &str = "/healthcheck.wx";

/// `[health]`: active health checks, and their thresholds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// Whether upstreams are probed at all. Otherwise they are judged by their requests alone. Default: yes, also
    /// without this table.
    pub enabled: bool,
    /// The target of the probes, which begins with `/`. Default: none, so that a TCP connection is enough; with
    /// `profile = "wisej"` it is `/healthcheck.wx`.
    #[serde(deserialize_with = "value::probe_path")]
    pub path: Option<String>,
    /// What the response to a probe means. Default: `standard`.
    #[serde(with = "value::ProbeProfileValue")]
    pub profile: ProbeProfile,
    /// From one probe of an upstream to the next. Default: 2 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub interval: Duration,
    /// How long a whole probe may take. Default: 1 second.
    #[serde(deserialize_with = "value::timeout")]
    pub timeout: Duration,
    /// Failed probes in a row until the upstream is down, 1 to 1000. Default: 2.
    #[serde(deserialize_with = "value::integer::<1, 1000, _, _>")]
    pub fall: u32,
    /// Passed probes in a row until it returns, 1 to 1000. Default: 2.
    #[serde(deserialize_with = "value::integer::<1, 1000, _, _>")]
    pub rise: u32,
    /// An upstream without a response for so long, while requests wait for one, gets no new sessions; zero turns that
    /// off. Default: 5 seconds.
    #[serde(deserialize_with = "value::duration_or_zero")]
    pub silence: Duration,
    /// The header field of a probe's response that identifies the process. Default: `homing-incarnation`.
    #[serde(deserialize_with = "value::header_name")]
    pub incarnation_header: Option<HeaderName>,
    /// A JSON pointer (RFC 6901) to the value in the body of a probe's response that identifies it. Default: none.
    #[serde(deserialize_with = "value::json_pointer")]
    pub incarnation_json: Option<String>,
}

impl Default for HealthConfig {
    fn default() -> Self {
        let probes = ProbeSettings::default();
        let Probes { fall, rise, .. } = Probes::default();
        Self {
            enabled: true,
            path: None,
            profile: probes.profile,
            interval: probes.interval,
            timeout: probes.timeout,
            fall,
            rise,
            silence: Silence::default().after,
            incarnation_header: Some(HeaderName::from_static("homing-incarnation")),
            incarnation_json: None,
        }
    }
}

impl HealthConfig {
    /// The settings of [`Proxy::run_health_checks`](homing::proxy::Proxy::run_health_checks); `None` where probes are
    /// off.
    #[must_use]
    pub fn probes(&self) -> Option<ProbeSettings> {
        self.enabled.then(|| {
            let mut probes =
                ProbeSettings::default().profile(self.profile).interval(self.interval).timeout(self.timeout);
            probes.path = self.target().map(str::to_owned);
            probes.incarnation_header = self.incarnation_header.clone();
            probes.incarnation_json = self.incarnation_json.clone();
            probes
        })
    }

    /// The target of the probes; `None` where a TCP connection is enough.
    pub(super) fn target(&self) -> Option<&str> {
        let by_profile = match self.profile {
            ProbeProfile::Wisej => Some(WISEJ_PATH),
            _ => None,
        };
        self.path.as_deref().or(by_profile)
    }
}

impl GatewayConfig {
    /// Thresholds and time constants of health checking and outlier ejection.
    #[must_use]
    pub fn health_settings(&self) -> HealthSettings {
        self.balancer_tables().health_settings()
    }

    /// The tables of which the balancer is made.
    pub(crate) fn balancer_tables(&self) -> BalancerTables<'_> {
        let HealthConfig { fall, rise, silence, .. } = self.health;
        BalancerTables {
            affinity: &self.affinity,
            policy: &self.policy,
            probes: Probes::default().fall(fall).rise(rise),
            silence,
            outlier: self.outlier,
            slow_start: self.slow_start,
            drain: &self.drain,
            failover: self.failover,
            rebalance: &self.rebalance,
            upstreams: &self.upstreams,
        }
    }
}
