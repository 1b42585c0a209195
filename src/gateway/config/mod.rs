//! The gateway's configuration: one TOML file, every key with a default but the upstreams.
//!
//! Unknown keys are refused, and every error says file, line, column, key and what to do. What one
//! key may be is decided where it is read (`value`); what several keys may be together, in
//! `check`.

mod check;
mod health;
mod tables;
mod value;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::config::document::{Document, read_text, unreadable};
use crate::health::{Failover, Outlier, SlowStart};
use crate::http::{CookieError, CookieName, CookieSpec, RequestKey, SameSite, Secure, TrustedProxies};
use crate::hyper::{QueueSettings, RetrySettings};
use crate::policy::Params;
use crate::{OnFull, OnRestart};
use http::HeaderName;
use tables::{FailoverTable, OutlierTable, QueueTable, RetryTable, SlowStartTable};

pub use crate::config::{ConfigError, Diagnostic};
pub use health::Health;
pub use tables::{Drain, Rebalance};

pub use crate::cluster::MAX_UPSTREAMS;

/// A gateway's whole configuration.
///
/// ```
/// use std::path::Path;
/// use homing::gateway::config::Config;
///
/// let text = r#"
/// [[upstream]]
/// name = "app-1"
/// address = "127.0.0.1:9001"
/// weight = 0
/// "#;
/// let refused = Config::parse(text, Path::new("homing.toml")).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "homing.toml:5:10: upstream[0].weight: invalid value: integer `0`, expected an integer from 1 to 65535",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The addresses to listen on; at least one. Default: `127.0.0.1:8080`.
    #[serde(deserialize_with = "value::listen")]
    pub listen: Vec<SocketAddr>,
    /// Worker threads, 0 to 1024; 0 is one a core. Default: 0.
    #[serde(deserialize_with = "value::integer::<0, 1024, _, _>")]
    pub workers: usize,
    /// The proxies in front whose forwarding headers are believed. Default: none.
    #[serde(deserialize_with = "value::trusted_proxies")]
    pub trusted_proxies: TrustedProxies,
    /// How sessions come back to their upstream.
    pub affinity: Affinity,
    /// How new sessions are placed.
    pub policy: Policy,
    /// How upstreams are probed.
    pub health: Health,
    /// `[outlier]`: how upstreams are judged by their requests; counts up to 1,000,000.
    #[serde(with = "OutlierTable")]
    pub outlier: Outlier,
    /// `[slow_start]`: how new and returned upstreams are filled.
    #[serde(with = "SlowStartTable")]
    pub slow_start: SlowStart,
    /// How an upstream is emptied.
    pub drain: Drain,
    /// `[failover]`: how the sessions of one that is gone are moved; a rate of up to 1,000,000.
    #[serde(with = "FailoverTable")]
    pub failover: Failover,
    /// How sessions move to upstreams that were added.
    pub rebalance: Rebalance,
    /// `[queue]`: how requests wait for room; up to 1,000,000 of them.
    #[serde(with = "QueueTable")]
    pub queue: QueueSettings,
    /// `[retry]`: how many requests are tried again; a ratio of up to 1, and up to 1,000,000 a second.
    #[serde(with = "RetryTable")]
    pub retry: RetrySettings,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How large things may be.
    pub limits: Limits,
    /// TLS in front. Default: plain text.
    pub tls: Option<Tls>,
    /// Where requests go, in order: 1 to [`MAX_UPSTREAMS`], each with its own name.
    #[serde(rename = "upstream")]
    pub upstreams: Vec<Upstream>,
}

/// `[affinity]`: how sessions come back to their upstream.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Affinity {
    /// Whether clients get a token at all. Default: yes, also without this table.
    pub enabled: bool,
    /// The cookie's name. Default: `homing`.
    #[serde(deserialize_with = "value::parsed")]
    pub cookie: CookieName,
    /// The longest life of a session, 1 second to 400 days. Default: 12 hours.
    #[serde(deserialize_with = "value::lifetime")]
    pub max_age: Duration,
    /// The longest pause within a session, 1 second to `max_age`. Default: 30 minutes.
    #[serde(deserialize_with = "value::lifetime")]
    pub idle: Duration,
    /// How long a session counts as live without a request, for `least_sessions`: between one and two
    /// of these, rounded down to a power of two of seconds. Default: 128 seconds.
    #[serde(deserialize_with = "value::lifetime")]
    pub live_window: Duration,
    /// When the cookie says `Secure`. Default: `auto`.
    #[serde(with = "value::SecureValue")]
    pub secure: Secure,
    /// Which cross-site requests carry the cookie. Default: `lax`.
    #[serde(with = "value::SameSiteValue")]
    pub same_site: SameSite,
    /// The cookie's domain. Default: none, so that only the host itself gets it back.
    pub domain: Option<String>,
    /// The cookie's path. Default: `/`.
    pub path: String,
    /// Whether the cookie is partitioned by top-level site. Default: no.
    pub partitioned: bool,
    /// What happens to a session whose upstream can't serve it. Default: `repin`.
    pub on_unavailable: OnUnavailable,
    /// What happens to a session whose upstream is at its limit. Default: `wait`.
    #[serde(with = "value::OnFullValue")]
    pub on_full: OnFull,
    /// What happens to a session whose upstream was restarted. Default: `replace`.
    #[serde(with = "value::OnRestartValue")]
    pub on_restart: OnRestart,
    /// The field of a response that tells a session that it has lost its state, and why. Default: none.
    #[serde(deserialize_with = "value::header_name")]
    pub lost_header: Option<HeaderName>,
    /// The key file, created where absent; relative to the configuration's folder. Default:
    /// `homing.keys`.
    #[serde(deserialize_with = "value::path")]
    pub keys: PathBuf,
}

impl Affinity {
    /// The affinity cookie: a session cookie with the attributes configured here.
    ///
    /// # Errors
    /// [`CookieError`] where the attributes contradict each other; never for a [`Config`] as it was
    /// loaded.
    pub fn cookie_spec(&self) -> Result<CookieSpec, CookieError> {
        let mut spec = CookieSpec::builder(self.cookie.clone())
            .path(&self.path)
            .same_site(self.same_site)
            .secure(self.secure)
            .partitioned(self.partitioned);
        if let Some(domain) = &self.domain {
            spec = spec.domain(domain);
        }
        spec.build()
    }
}

/// What happens to a session whose upstream can't serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnavailable {
    /// It moves to another upstream.
    #[default]
    Repin,
    /// Its requests are answered with 503.
    Reject,
}

/// `[policy]`: how new sessions are placed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// The policy's name, one of [`registry`](crate::policy::registry)'s. Default: `least_conn`.
    pub name: String,
    /// What of a request the policy hashes, if it does. Default: `client_ip`.
    #[serde(deserialize_with = "value::parsed")]
    pub key: RequestKey,
    /// The policy's own parameters, by their names: integers, floats, texts or booleans.
    #[serde(flatten)]
    pub params: BTreeMap<String, toml::Value>,
}

impl Policy {
    /// The parameters as the policy takes them.
    #[must_use]
    pub fn params(&self) -> Params {
        self.params.iter().fold(Params::new(), |params, (name, value)| match value {
            toml::Value::String(text) => params.with(name, text),
            other => params.with(name, other),
        })
    }
}

/// `[timeouts]`: how long things may take; each longer than zero and at most 400 days.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// For a client to send a request's headers. Default: 10 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub header: Duration,
    /// For an upstream to take a connection. Default: 2 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub connect: Duration,
    /// For an upstream to begin its response. Default: 60 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub response: Duration,
    /// For a connection on which nothing moves. Default: 90 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub idle: Duration,
    /// For what runs to end when the gateway stops. Default: 30 seconds.
    #[serde(deserialize_with = "value::timeout")]
    pub shutdown: Duration,
}

/// `[limits]`: how large things may be, each 1024 to 65536 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// A request's headers together. Default: 16384 bytes.
    #[serde(deserialize_with = "value::integer::<1024, 65_536, _, _>")]
    pub header_bytes: usize,
    /// A request's target. Default: 8192 bytes.
    #[serde(deserialize_with = "value::integer::<1024, 65_536, _, _>")]
    pub uri_bytes: usize,
}

/// `[tls]`: PEM files, relative to the configuration's folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, the server's own first.
    #[serde(deserialize_with = "value::path")]
    pub certificate: PathBuf,
    /// Its private key.
    #[serde(deserialize_with = "value::path")]
    pub key: PathBuf,
}

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

fn one() -> u16 {
    1
}

impl Config {
    /// Reads the configuration in the file `path`.
    ///
    /// # Errors
    /// [`ConfigError`] where the file can't be read or is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        Self::parse(&read_text(path, file)?, path)
    }

    /// Reads the configuration in `text`, which stands in the file `path`.
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
            if let Some(tls) = &mut config.tls {
                tls.certificate = folder.join(&tls.certificate);
                tls.key = folder.join(&tls.key);
            }
        }
        Ok(config)
    }
}

impl Default for Config {
    /// Every default, and no upstreams.
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))],
            workers: 0,
            trusted_proxies: TrustedProxies::default(),
            affinity: Affinity::default(),
            policy: Policy::default(),
            health: Health::default(),
            outlier: Outlier::default(),
            slow_start: SlowStart::default(),
            drain: Drain::default(),
            failover: Failover::default(),
            rebalance: Rebalance::default(),
            queue: QueueSettings::default(),
            retry: RetrySettings::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            tls: None,
            upstreams: Vec::new(),
        }
    }
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            enabled: true,
            cookie: CookieName::default(),
            max_age: Duration::from_hours(12),
            idle: Duration::from_mins(30),
            live_window: Duration::from_secs(128),
            secure: Secure::default(),
            same_site: SameSite::default(),
            domain: None,
            path: "/".to_owned(),
            partitioned: false,
            on_unavailable: OnUnavailable::default(),
            on_full: OnFull::default(),
            on_restart: OnRestart::default(),
            lost_header: None,
            keys: PathBuf::from("homing.keys"),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { name: "least_conn".to_owned(), key: RequestKey::default(), params: BTreeMap::new() }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            connect: Duration::from_secs(2),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(90),
            shutdown: Duration::from_secs(30),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes: 16_384, uri_bytes: 8192 }
    }
}

#[cfg(test)]
mod tests;
