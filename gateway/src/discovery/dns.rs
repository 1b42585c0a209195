//! Upstreams as the DNS has them.
//!
//! Either the addresses of a host, A and AAAA, all at one port; or a service, SRV, whose targets have ports and weights, and
//! addresses in turn. Of a service only the targets with the lowest priority are used: the others are for when those are
//! gone, and health says that better than the DNS. A weight of zero counts as one.
//!
//! An upstream is called after its address, `10.0.0.1:8080`, so its sessions stay with it whatever else is answered and in
//! whatever order. An instance that comes back at another address is another one; so is its memory.
//!
//! It is asked again when the shortest TTL of the answers is over, within limits. A name that is not there, an answer
//! without addresses, or none at all is an error, and what was known holds: a name server in trouble takes nobody's
//! upstreams away.

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

/// For one try of one name server.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DnsQuery {
    /// The addresses of a host.
    Host {
        /// Its name.
        name: String,
        /// Where it is to be reached.
        port: u16,
    },
    /// The targets of a service.
    Service {
        /// Its name, such as `_http._tcp.app.internal`.
        name: String,
    },
}

/// Who is asked for what, and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsSettings {
    /// What is asked for.
    pub question: DnsQuery,
    /// The name servers; none are those of the system.
    pub servers: Vec<SocketAddr>,
    /// It is asked no more often than so, whatever the TTL.
    pub floor: Duration,
    /// And no less often.
    pub ceiling: Duration,
}

impl DnsSettings {
    /// Asks the system's name servers, between every second and every five minutes.
    #[must_use]
    pub fn new(question: DnsQuery) -> Self {
        Self { question, servers: Vec::new(), floor: Duration::from_secs(1), ceiling: Duration::from_mins(5) }
    }
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// No name of the DNS.
    #[error("{name:?} is no name of the DNS: {message}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The system's configuration cannot be used.
    #[error("the system's name servers are not known: {0}; name some by servers")]
    System(String),
}

/// Asks the DNS, again and again.
#[derive(Debug)]
pub struct DnsSource {
    settings: DnsSettings,
    name: Name,
    resolver: TokioResolver,
    due: Option<Instant>,
    said: Option<Vec<UpstreamConfig>>,
}

/// Addresses with weights, and how long that holds.
struct ResolvedAddresses {
    weights: BTreeMap<SocketAddr, u16>,
    ttl: Duration,
}

impl DnsSource {
    /// With these settings. Nobody is asked yet.
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
        // Whoever is asked is to be asked anew, and when is decided here.
        options.cache_size = 0;
        options.timeout = PATIENCE;
        let resolver = builder.build().map_err(system)?;
        Ok(Self { settings, name, resolver, due: None, said: None })
    }

    async fn ask(&self) -> Result<ResolvedAddresses, String> {
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
                    answer.holds(ttl);
                    if Some(service.priority) == first && !service.target.is_root() {
                        self.add(&service.target, service.port, service.weight.max(1), &mut answer).await?;
                    }
                }
            }
        }
        match answer.weights.is_empty() {
            true => Err("there is no address; what was known goes on".to_owned()),
            false => Ok(answer),
        }
    }

    /// Adds the addresses of a host, of both kinds.
    async fn add(&self, host: &Name, port: u16, weight: u16, to: &mut ResolvedAddresses) -> Result<(), String> {
        for kind in [RecordType::A, RecordType::AAAA] {
            let lookup = self.lookup(host, kind).await?;
            for record in lookup.iter().flat_map(Lookup::answers) {
                let address = match &record.data {
                    RData::A(address) => IpAddr::from(address.0),
                    RData::AAAA(address) => IpAddr::from(address.0),
                    _ => continue,
                };
                to.holds(record.ttl);
                to.weights.entry(SocketAddr::new(address, port)).or_insert(weight);
            }
        }
        Ok(())
    }

    /// `None` where there is nothing of the kind; an error where that is not known.
    async fn lookup(&self, name: &Name, kind: RecordType) -> Result<Option<Lookup>, String> {
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => Ok(Some(lookup)),
            Err(error) if error.is_no_records_found() => Ok(None),
            Err(error) => Err(format!("{kind} of {name}: {error}; what was known goes on")),
        }
    }
}

impl ResolvedAddresses {
    fn holds(&mut self, ttl: u32) {
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
                let answer = self.ask().await;
                let DnsSettings { floor, ceiling, .. } = self.settings;
                let pause = answer.as_ref().map_or(floor, |answer| answer.ttl.min(ceiling).max(floor));
                self.due = Some(Instant::now() + pause);
                let from = || format!("DNS, {}", self.name);
                let answer = answer.map_err(|message| DiscoveryError::Unreachable { from: from(), message })?;
                let upstreams = answer.upstreams();
                if self.said.as_ref() != Some(&upstreams) {
                    return Ok(DiscoveryUpdate::Members(self.said.insert(upstreams).clone()));
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
