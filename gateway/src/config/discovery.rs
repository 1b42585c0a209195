//! `[discovery]`: sources of upstreams.

use super::{GatewayConfig, value};
use crate::discovery::dns::{self, DnsQuery};
use crate::discovery::etcd;
use homing::config::value::text;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `[discovery]`: exactly one source of upstreams. The gateway starts with the `[[upstream]]` entries where the source
/// is unreachable at the start.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscoveryConfig {
    /// `file`: a file with `[[upstream]]` entries, relative to the configuration's folder.
    File(#[serde(deserialize_with = "value::path")] PathBuf),
    /// `dns`: the addresses of a host, or the targets of a service.
    Dns(DnsConfig),
    /// `etcd`: the shared state of a fleet of gateways.
    Etcd(EtcdConfig),
}

/// `dns` of `[discovery]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "DnsTable")]
pub struct DnsConfig {
    /// The host or service.
    pub question: DnsQuery,
    /// The name servers, `IP:port`. Default: those of the system.
    pub servers: Vec<SocketAddr>,
    /// The shortest time between queries, whatever the TTL. Default: 1 second.
    pub floor: Duration,
    /// The longest. Default: 5 minutes.
    pub ceiling: Duration,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DnsTable {
    name: Option<String>,
    #[serde(deserialize_with = "port")]
    port: Option<u16>,
    service: Option<String>,
    servers: Vec<SocketAddr>,
    #[serde(deserialize_with = "value::timeout")]
    floor: Duration,
    #[serde(deserialize_with = "value::timeout")]
    ceiling: Duration,
}

fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    value::integer::<1, 65_535, _, _>(deserializer).map(Some)
}

impl Default for DnsTable {
    fn default() -> Self {
        let question = DnsQuery::Service { name: String::new() };
        let dns::DnsSettings { servers, floor, ceiling, .. } = dns::DnsSettings::new(question);
        Self { name: None, port: None, service: None, servers, floor, ceiling }
    }
}

impl TryFrom<DnsTable> for DnsConfig {
    type Error = &'static str;

    fn try_from(table: DnsTable) -> Result<Self, &'static str> {
        let DnsTable { servers, floor, ceiling, .. } = table;
        let question = match (table.name, table.port, table.service) {
            (Some(name), Some(port), None) => DnsQuery::Host { name, port },
            (None, None, Some(name)) => DnsQuery::Service { name },
            _ => return Err("set name and port, for a host, or service, for a service"),
        };
        Ok(Self { question, servers, floor, ceiling })
    }
}

impl DnsConfig {
    /// The settings of the source.
    #[must_use]
    pub fn settings(&self) -> dns::DnsSettings {
        let Self { question, servers, floor, ceiling } = self.clone();
        dns::DnsSettings { question, servers, floor, ceiling }
    }
}

/// `etcd` of `[discovery]`. Files are relative to the configuration's folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdConfig {
    /// Its members, such as `http://127.0.0.1:2379` or `https://etcd-1:2379`; at least one.
    #[serde(deserialize_with = "endpoints")]
    pub endpoints: Vec<String>,
    /// The prefix of the fleet's keys. Default: `/homing`.
    #[serde(default = "prefix", deserialize_with = "key_prefix")]
    pub prefix: String,
    /// The certificate authorities that sign etcd's certificate, PEM; needed for `https`. Default: none.
    #[serde(default, deserialize_with = "value::some_path")]
    pub ca: Option<PathBuf>,
    /// The client certificate, PEM. Default: none.
    #[serde(default, deserialize_with = "value::some_path")]
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM. Default: none.
    #[serde(default, deserialize_with = "value::some_path")]
    pub key: Option<PathBuf>,
    /// The user to log in as. Default: none.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with the user's password. Default: none.
    #[serde(default, deserialize_with = "value::some_path")]
    pub password_file: Option<PathBuf>,
    /// Whether the key ring is at `PREFIX/keys`. The key file is then used only to start while etcd is unreachable.
    /// Default: yes.
    #[serde(default = "yes")]
    pub keys: bool,
    /// How often the gateway publishes its live sessions; zero: it publishes none and ignores those of others, so that
    /// each gateway counts what it has seen itself. Default: 2 seconds.
    #[serde(default = "live", deserialize_with = "value::duration_or_zero")]
    pub live: Duration,
}

fn yes() -> bool {
    true
}

fn prefix() -> String {
    etcd::KeyPrefix::default().to_string()
}

fn live() -> Duration {
    Duration::from_secs(2)
}

fn key_prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, "a prefix such as \"/homing\", with a / in front and none behind", |text| {
        let is_prefix = text.starts_with('/') && !text.ends_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
        is_prefix.then(|| text.to_owned())
    })
}

fn endpoints<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    struct Endpoint(#[serde(deserialize_with = "endpoint")] String);

    fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        text(deserializer, "an endpoint such as \"http://127.0.0.1:2379\" or \"https://etcd-1:2379\"", |text| {
            etcd::is_endpoint(text).then(|| text.to_owned())
        })
    }

    let list = Vec::<Endpoint>::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(D::Error::custom("is empty; name at least one member of etcd"));
    }
    Ok(list.into_iter().map(|Endpoint(text)| text).collect())
}

impl EtcdConfig {
    /// The settings of the client.
    #[must_use]
    pub fn settings(&self) -> etcd::EtcdSettings {
        etcd::EtcdSettings {
            endpoints: self.endpoints.clone(),
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            user: self.user.clone().zip(self.password_file.clone()),
        }
    }
}

impl GatewayConfig {
    /// The key in etcd of the key ring, where it is shared.
    pub(crate) fn keys_are_shared(&self) -> Option<String> {
        match &self.discovery {
            Some(DiscoveryConfig::Etcd(EtcdConfig { prefix, keys: true, .. })) => Some(format!("{prefix}/keys")),
            _ => None,
        }
    }
}

impl DiscoveryConfig {
    /// Makes file names relative to `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        match self {
            Self::File(file) => *file = folder.join(&*file),
            Self::Dns(_) => {}
            Self::Etcd(EtcdConfig { ca, certificate, key, password_file, .. }) => {
                for file in [ca, certificate, key, password_file].into_iter().flatten() {
                    *file = folder.join(&*file);
                }
            }
        }
    }
}
