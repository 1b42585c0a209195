//! Upstreams from the DNS.
//!
//! Either the addresses of a host (A and AAAA), all at one port; or a service (SRV), whose targets have ports, weights
//! and addresses. Of a service only the targets of the lowest priority value are used: the others are a fallback, and
//! health checks find out better than the DNS when it is needed. A weight of zero counts as one.
//!
//! An upstream is named by its address, `10.0.0.1:8080`, so its sessions stay with it whatever else is in the response
//! and in whatever order. An instance that comes back at another address is another upstream; its memory is new as
//! well.
//!
//! The query is repeated when the shortest TTL of the response is over, within limits. NXDOMAIN, a response without
//! addresses, or none at all is an error, and the last known upstreams stay: a name server in trouble removes none.

use super::{DiscoveryError, DiscoverySource, DiscoveryUpdate, NextUpdate};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use homing::cluster::UpstreamConfig;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long one query to one name server may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// What is queried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DnsQuery {
    /// The addresses of a host.
    Host {
        /// Its name.
        name: String,
        /// The port of all its addresses.
        port: u16,
    },
    /// The targets of a service.
    Service {
        /// Its name, such as `_http._tcp.app.internal`.
        name: String,
    },
}

/// What is queried, of which servers, and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsSettings {
    /// What is queried.
    pub question: DnsQuery,
    /// The name servers; those of the system, where empty.
    pub servers: Vec<SocketAddr>,
    /// The shortest time between queries, whatever the TTL.
    pub floor: Duration,
    /// The longest.
    pub ceiling: Duration,
}

impl DnsSettings {
    /// Queries the system's name servers, each second to each five minutes.
    #[must_use]
    pub fn new(question: DnsQuery) -> Self {
        Self { question, servers: Vec::new(), floor: Duration::from_secs(1), ceiling: Duration::from_secs(5 * 60) }
    }
}

/// Why nothing can be queried.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// Not a name of the DNS.
    #[error("{name:?} is not a name of the DNS: {message}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The system's resolver configuration cannot be used.
    #[error("the system's name servers are unknown: {0}; set servers")]
    System(String),
}

/// Queries the DNS, again and again.
#[derive(Debug)]
pub struct DnsSource {
    settings: DnsSettings,
    name: Name,
    resolver: TokioResolver,
    due: Option<Instant>,
    reported: Option<Vec<UpstreamConfig>>,
}

/// Addresses with weights, and how long the response is valid.
struct ResolvedAddresses {
    weights: BTreeMap<SocketAddr, u16>,
    ttl: Duration,
}

impl DnsSource {
    /// A source with these settings. Nothing is queried yet.
    ///
    /// # Errors
    /// [`DnsError`].
    pub fn new(settings: DnsSettings) -> Result<Self, DnsError> {
        let (DnsQuery::Host { name: text, .. } | DnsQuery::Service { name: text }) = &settings.question;
        let wrong = |message: String| DnsError::Name { name: text.clone(), message };
        let name = Name::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
        let system = |error: NetError| DnsError::System(error.to_string());
        let mut builder = match settings.servers.is_empty() {
            true => TokioResolver::builder_tokio().map_err(system)?,
            false => {
                let servers = settings.servers.iter().map(|server| server_at(*server)).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        // No cache: this source decides when to query again.
        options.cache_size = 0;
        options.timeout = QUERY_TIMEOUT;
        let resolver = builder.build().map_err(system)?;
        Ok(Self { settings, name, resolver, due: None, reported: None })
    }

    async fn query(&self) -> Result<ResolvedAddresses, String> {
        let mut answer = ResolvedAddresses { weights: BTreeMap::new(), ttl: self.settings.ceiling };
        match self.settings.question {
            DnsQuery::Host { port, .. } => self.add(&self.name, port, 1, &mut answer).await?,
            DnsQuery::Service { .. } => {
                let lookup = self.lookup(&self.name, RecordType::SRV).await?;
                let services = lookup.iter().flat_map(Lookup::answers).filter_map(|record| match &record.data {
                    RData::SRV(service) => Some((record.ttl, service)),
                    _ => None,
                });
                let services: Vec<_> = services.collect();
                let first = services.iter().map(|(_, service)| service.priority).min();
                for (ttl, service) in services {
                    answer.limit_ttl(ttl);
                    if Some(service.priority) == first && !service.target.is_root() {
                        self.add(&service.target, service.port, service.weight.max(1), &mut answer).await?;
                    }
                }
            }
        }
        match answer.weights.is_empty() {
            true => Err("no address in the response; the last known upstreams stay".to_owned()),
            false => Ok(answer),
        }
    }

    /// Adds the IPv4 and IPv6 addresses of a host.
    async fn add(&self, host: &Name, port: u16, weight: u16, to: &mut ResolvedAddresses) -> Result<(), String> {
        for kind in [RecordType::A, RecordType::AAAA] {
            let lookup = self.lookup(host, kind).await?;
            for record in lookup.iter().flat_map(Lookup::answers) {
                let address = match &record.data {
                    RData::A(address) => IpAddr::from(address.0),
                    RData::AAAA(address) => IpAddr::from(address.0),
                    _ => continue,
                };
                to.limit_ttl(record.ttl);
                to.weights.entry(SocketAddr::new(address, port)).or_insert(weight);
            }
        }
        Ok(())
    }

    /// `None` where the name has no such record; an error where that is unknown.
    async fn lookup(&self, name: &Name, kind: RecordType) -> Result<Option<Lookup>, String> {
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => Ok(Some(lookup)),
            Err(error) if error.is_no_records_found() => Ok(None),
            Err(error) => Err(format!("{kind} of {name}: {error}; the last known upstreams stay")),
        }
    }
}

impl ResolvedAddresses {
    fn limit_ttl(&mut self, ttl: u32) {
        self.ttl = self.ttl.min(Duration::from_secs(ttl.into()));
    }

    fn upstreams(&self) -> Vec<UpstreamConfig> {
        let upstreams = self.weights.iter();
        upstreams.map(|(at, weight)| UpstreamConfig::new(at.to_string(), at.to_string()).weight(*weight)).collect()
    }
}

impl DiscoverySource for DnsSource {
    fn next(&mut self) -> NextUpdate<'_> {
        Box::pin(async move {
            loop {
                if let Some(due) = self.due {
                    sleep_until(due).await;
                }
                let answer = self.query().await;
                let DnsSettings { floor, ceiling, .. } = self.settings;
                let pause = answer.as_ref().map_or(floor, |answer| answer.ttl.min(ceiling).max(floor));
                self.due = Some(Instant::now() + pause);
                let from = || format!("DNS, {}", self.name);
                let answer = answer.map_err(|message| DiscoveryError::Unreachable { from: from(), message })?;
                let upstreams = answer.upstreams();
                if self.reported.as_ref() != Some(&upstreams) {
                    return Ok(DiscoveryUpdate::Members(self.reported.insert(upstreams).clone()));
                }
            }
        })
    }
}

fn server_at(address: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())])
}
