//! The gateway's configuration: one TOML file, every key with a default but the upstreams.
//!
//! Unknown keys are refused, and every error has file, line, column, key and what to do. Tables that the library has
//! too (`[affinity]`, `[policy]`, …) are [`homing::config`]'s. Nothing here opens a file that the configuration names:
//! that is [`setup`](crate::setup())'s.
//!
//! In reading order: this file (all tables), `value` (what one key may be), `tables`, `health`, `discovery`, and
//! `check` (what several keys may be together).

mod check;
mod discovery;
mod health;
mod tables;
mod value;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use homing::config::document::{Document, read_text, unreadable};
use homing::config::tables::{FailoverTable, OutlierTable, SlowStartTable};
use homing::health::{Failover, Outlier, SlowStart};
use homing::http::TrustedProxies;
use homing::proxy::{QueueSettings, RetrySettings};
use tables::{QueueTable, RetryTable};

pub use discovery::{DiscoveryConfig, DnsConfig, EtcdConfig};
pub use health::HealthConfig;
pub use homing::cluster::MAX_UPSTREAMS;
pub use homing::config::{
    Accept, Affinity, ConfigError, Diagnostic, Drain, OnUnavailable, Policy, Rebalance, Upstream,
};

/// A gateway's whole configuration.
///
/// ```
/// use std::path::Path;
/// use homing_gateway::config::GatewayConfig;
///
/// let text = r#"
/// [[upstream]]
/// name = "app-1"
/// address = "127.0.0.1:9001"
/// weight = 0
/// "#;
/// let refused = GatewayConfig::parse(text, Path::new("homing.toml")).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "homing.toml:5:10: upstream[0].weight: invalid value: integer `0`, expected an integer from 1 to 65535",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// The addresses to listen on; at least one. Default: `127.0.0.1:8080`.
    #[serde(deserialize_with = "value::listen")]
    pub listen: Vec<SocketAddr>,
    /// Worker threads, 0 to 1024; 0 is one a core. Default: 0.
    #[serde(deserialize_with = "value::integer::<0, 1024, _, _>")]
    pub workers: usize,
    /// The proxies in front whose forwarding headers are believed. Default: none.
    #[serde(deserialize_with = "value::trusted_proxies")]
    pub trusted_proxies: TrustedProxies,
    /// How sessions are pinned to their upstream.
    pub affinity: Affinity,
    /// How new sessions are placed.
    pub policy: Policy,
    /// How upstreams are probed.
    pub health: HealthConfig,
    /// `[outlier]`: outlier ejection by the outcomes of requests; counts up to 1,000,000.
    #[serde(with = "OutlierTable")]
    pub outlier: Outlier,
    /// `[slow_start]`: how new and returned upstreams ramp up.
    #[serde(with = "SlowStartTable")]
    pub slow_start: SlowStart,
    /// How sessions leave a draining upstream.
    pub drain: Drain,
    /// `[failover]`: how the sessions of an upstream that is down move; a rate of up to 1,000,000.
    #[serde(with = "FailoverTable")]
    pub failover: Failover,
    /// How sessions move to upstreams that were added.
    pub rebalance: Rebalance,
    /// `[queue]`: how requests wait while all upstreams are at their limit; up to 1,000,000 of them.
    #[serde(with = "QueueTable")]
    pub queue: QueueSettings,
    /// `[retry]`: the retry budget; a ratio of up to 1, and up to 1,000,000 a second.
    #[serde(with = "RetryTable")]
    pub retry: RetrySettings,
    /// Timeouts.
    pub timeouts: TimeoutsConfig,
    /// Limits of size.
    pub limits: LimitsConfig,
    /// TLS towards clients. Default: plain text.
    pub tls: Option<TlsConfig>,
    /// Administration over HTTP. Default: none.
    pub admin: Option<AdminConfig>,
    /// The state file, which keeps overrides and registrations, relative to the configuration's folder. Default: none,
    /// and then they last until the gateway is stopped.
    #[serde(deserialize_with = "value::some_path")]
    pub state: Option<PathBuf>,
    /// A source of further upstreams. Default: none.
    pub discovery: Option<DiscoveryConfig>,
    /// The upstreams, in order: 1 to [`MAX_UPSTREAMS`], each with its own name. With `discovery` there may be none;
    /// they are then used only until the source has reported some.
    #[serde(rename = "upstream")]
    pub upstreams: Vec<Upstream>,
}

/// `[timeouts]`: each longer than zero and at most 400 days.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsConfig {
    /// For a client to send a request's headers. Default: 10 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub header: Duration,
    /// For an upstream to accept a connection. Default: 2 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub connect: Duration,
    /// For an upstream to begin its response. Default: 60 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub response: Duration,
    /// For a connection without progress. A tunnel may be silent for longer, unless one side has ended or does not
    /// read. Default: 90 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub idle: Duration,
    /// For requests and tunnels to finish when the gateway stops. Default: 30 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub shutdown: Duration,
    /// For requests and tunnels to finish in the old process after an upgrade. Default: 1 hour.
    #[serde(deserialize_with = "value::timeout")]
    pub upgrade: Duration,
}

/// `[limits]`: limits of size, each 1024 to 65536 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Of a request's header fields together. Default: 16384 bytes.
    #[serde(deserialize_with = "value::integer::<1024, 65_536, _, _>")]
    pub header_bytes: usize,
    /// Of a request's target. Default: 8192 bytes.
    #[serde(deserialize_with = "value::integer::<1024, 65_536, _, _>")]
    pub uri_bytes: usize,
}

/// `[tls]`: PEM files, relative to the configuration's folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain, the server's own first.
    #[serde(deserialize_with = "value::path")]
    pub certificate: PathBuf,
    /// Its private key.
    #[serde(deserialize_with = "value::path")]
    pub key: PathBuf,
}

/// `[admin]`: the address and the token of the [administration](crate::admin).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Its address, which has to be a loopback one where there is no `token_file`. Default: `127.0.0.1:9090`.
    #[serde(deserialize_with = "value::socket_addr")]
    pub listen: SocketAddr,
    /// A file with the token that every request has to send, relative to the configuration's folder. Default: none, so
    /// that every user of this machine is admitted.
    #[serde(deserialize_with = "value::some_path")]
    pub token_file: Option<PathBuf>,
}

impl GatewayConfig {
    /// Reads the configuration in the file `path`.
    ///
    /// # Errors
    /// [`ConfigError`] where the file can't be read or is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        Self::parse(&read_text(path, file)?, path)
    }

    /// Reads the configuration in `text`, the content of the file `path`.
    ///
    /// The file is named in errors, and files named in the text are relative to its folder; it is
    /// not opened.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the first thing that is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let document = Document::new(path, text);
        let mut config: Self = document.parse()?;
        check::check(&config, &document)?;
        if let Some(folder) = path.parent() {
            config.affinity.keys = folder.join(&config.affinity.keys);
            if let Some(discovery) = &mut config.discovery {
                discovery.resolve(folder);
            }
            if let Some(tls) = &mut config.tls {
                tls.certificate = folder.join(&tls.certificate);
                tls.key = folder.join(&tls.key);
            }
            if let Some(file) = &mut config.state {
                *file = folder.join(&*file);
            }
            if let Some(file) = config.admin.as_mut().and_then(|admin| admin.token_file.as_mut()) {
                *file = folder.join(&*file);
            }
        }
        Ok(config)
    }
}

impl Default for GatewayConfig {
    /// Every default, and no upstreams.
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))],
            workers: 0,
            trusted_proxies: TrustedProxies::default(),
            affinity: Affinity::default(),
            policy: Policy::default(),
            health: HealthConfig::default(),
            outlier: Outlier::default(),
            slow_start: SlowStart::default(),
            drain: Drain::default(),
            failover: Failover::default(),
            rebalance: Rebalance::default(),
            queue: QueueSettings::default(),
            retry: RetrySettings::default(),
            timeouts: TimeoutsConfig::default(),
            limits: LimitsConfig::default(),
            tls: None,
            admin: None,
            state: None,
            discovery: None,
            upstreams: Vec::new(),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)), token_file: None }
    }
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            connect: Duration::from_secs(2),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(90),
            shutdown: Duration::from_secs(30),
            upgrade: Duration::from_secs(3600),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { header_bytes: 16_384, uri_bytes: 8192 }
    }
}

#[cfg(test)]
#[path = "../../../tests/vectors/refusals.rs"]
mod refusals;
#[cfg(test)]
mod tests;
