//! The first updates of a source, before anything is set up.

use super::follow::{FollowSettings, Follower, FollowerHandle};
use super::{DISCOVERY_TARGET, parse_keys};
use crate::config;
use crate::discovery::dns::{DnsError, DnsSource};
use crate::discovery::etcd::{
    EtcdClient, EtcdOverrideStore, EtcdSettingsError, EtcdSource, KeyPrefix, LiveSessionsPublisher,
};
use crate::discovery::{DiscoveryError, DiscoverySource, DiscoveryUpdate, FileSource, KeysText};
use crate::roster::Roster;
use homing::KeyRing;
use homing::cluster::UpstreamConfig;
use homing::rng::{Entropy, EntropyError, OsEntropy};
use homing::time::Clock;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long the start waits for the first upstreams.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a gateway cannot start with its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryStartError {
    /// The DNS cannot be queried.
    #[error("[discovery]: {0}")]
    DnsSource(#[from] DnsError),
    /// The settings of etcd.
    #[error("[discovery]: {0}")]
    Etcd(#[from] EtcdSettingsError),
    /// No random name for this gateway.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The source names no upstream, and neither does the configuration.
    #[error(
        "[discovery] names no upstream ({reason}), and there is no [[upstream]] to start with; add one, or make the source \
         reachable"
    )]
    NoUpstreams {
        /// Its last error.
        reason: String,
    },
    /// No keys. A gateway with generated keys could not verify the tokens of the others.
    #[error(
        "[discovery]: the fleet's keys are neither in etcd ({reason}) nor in {}; docs/FLEET.md says how they are made, once \
         for all gateways",
        file.display()
    )]
    NoKeys {
        /// The key file of the configuration.
        file: PathBuf,
        /// The error of etcd.
        reason: String,
    },
    /// The thread could not be started.
    #[error("[discovery]: {0}")]
    Thread(#[source] io::Error),
}

/// The first updates of a source, whose thread waits to be told to follow it.
#[derive(Debug)]
pub struct InitialDiscovery {
    upstreams: Vec<UpstreamConfig>,
    keys: Option<KeyRing>,
    store: Option<EtcdOverrideStore>,
    thread: SourceThread,
    rest: Vec<DiscoveryUpdate>,
    settings: FollowSettings,
}

#[derive(Debug)]
struct SourceThread {
    follow: oneshot::Sender<Follower>,
    thread: JoinHandle<()>,
}

/// The updates before the source is followed.
#[derive(Debug, Default)]
struct FirstUpdates {
    members: Option<Vec<UpstreamConfig>>,
    keys: Option<KeysText>,
    rest: Vec<DiscoveryUpdate>,
    error: Option<DiscoveryError>,
}

struct SourceParts {
    source: Box<dyn DiscoverySource>,
    store: Option<EtcdOverrideStore>,
    presence: Option<(LiveSessionsPublisher, Duration)>,
}

/// Reads the first updates of the discovery source of `config`, if it has one; waits up to five seconds for its
/// upstreams. To be called before the gateway is [set up](crate::setup_with).
///
/// # Errors
/// [`DiscoveryStartError`].
pub fn start(config: &config::GatewayConfig) -> Result<Option<InitialDiscovery>, DiscoveryStartError> {
    let Some(settings) = config.discovery.clone() else { return Ok(None) };
    let (sender, first_updates) = mpsc::channel();
    let (follow, followed) = oneshot::channel();
    let thread = std::thread::Builder::new().name("discovery".to_owned());
    let thread = thread.spawn(move || run(&settings, &sender, followed)).map_err(DiscoveryStartError::Thread)?;
    // The thread sends the first updates or an error, or has panicked.
    let ended = |_| DiscoveryStartError::Thread(io::Error::other("the source's thread has ended"));
    let (FirstUpdates { members, keys: keys_text, rest, error }, store) = first_updates.recv().map_err(ended)??;
    let reason = || error.as_ref().map_or_else(|| "it has none".to_owned(), ToString::to_string);
    let upstreams = members.unwrap_or_default();
    if upstreams.is_empty() {
        if config.upstreams.is_empty() {
            return Err(DiscoveryStartError::NoUpstreams { reason: reason() });
        }
        tracing::warn!(target: DISCOVERY_TARGET, "starting with the upstreams of the configuration: {}", reason());
    }
    let shares_keys = config.keys_are_shared().is_some();
    let keys = match config.affinity.enabled && shares_keys {
        true => ring(config, keys_text.as_ref(), reason)?,
        false => None,
    };
    let shares_live = matches!(&config.discovery, Some(config::DiscoveryConfig::Etcd(etcd)) if !etcd.live.is_zero());
    let settings = FollowSettings { keys: keys_text, shares_keys, shares_live };
    Ok(Some(InitialDiscovery { upstreams, keys, store, thread: SourceThread { follow, thread }, rest, settings }))
}

type Started = Result<(FirstUpdates, Option<EtcdOverrideStore>), DiscoveryStartError>;

/// The thread of a source.
fn run(settings: &config::DiscoveryConfig, sender: &mpsc::Sender<Started>, followed: oneshot::Receiver<Follower>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(sender.send(Err(DiscoveryStartError::Thread(error)))),
    };
    runtime.block_on(async {
        let SourceParts { mut source, store, presence } = match parts(settings) {
            Ok(parts) => parts,
            Err(error) => return drop(sender.send(Err(error))),
        };
        let first = first(&mut *source).await;
        // It fails where the start was given up.
        drop(sender.send(Ok((first, store))));
        if let Ok(follower) = followed.await {
            follower.run(source, presence).await;
        }
    });
}

/// The keys in etcd; none where those of the key file are to be used.
fn ring(
    config: &config::GatewayConfig,
    text: Option<&KeysText>,
    reason: impl Fn() -> String,
) -> Result<Option<KeyRing>, DiscoveryStartError> {
    let reason = match text.map(parse_keys) {
        Some(Ok(ring)) => return Ok(Some(ring)),
        Some(Err(error)) => error,
        None => reason(),
    };
    let file = &config.affinity.keys;
    if !file.exists() {
        return Err(DiscoveryStartError::NoKeys { file: file.clone(), reason });
    }
    let file = file.display();
    tracing::warn!(target: DISCOVERY_TARGET, "starting with the keys in {file}, not those in etcd: {reason}");
    Ok(None)
}

fn parts(settings: &config::DiscoveryConfig) -> Result<SourceParts, DiscoveryStartError> {
    Ok(match settings {
        config::DiscoveryConfig::File(file) => {
            SourceParts { source: Box::new(FileSource::watch(file)), store: None, presence: None }
        }
        config::DiscoveryConfig::Dns(dns) => {
            SourceParts { source: Box::new(DnsSource::new(dns.settings())?), store: None, presence: None }
        }
        config::DiscoveryConfig::Etcd(etcd) => {
            let (client, prefix) = (EtcdClient::new(&etcd.settings())?, KeyPrefix::new(&etcd.prefix));
            // Random for each process: the sketches of an earlier one stay until its lease ends.
            let gateway = format!("{:016x}", OsEntropy.next()?);
            let source = EtcdSource::new(client.clone(), prefix.clone(), gateway.clone());
            let presence =
                (!etcd.live.is_zero()).then(|| (LiveSessionsPublisher::new(client, prefix, gateway), etcd.live));
            SourceParts { store: Some(source.override_store()), source: Box::new(source), presence }
        }
    })
}

/// The updates up to the first upstreams and those that follow without delay; or those until the timeout.
async fn first(source: &mut dyn DiscoverySource) -> FirstUpdates {
    let mut first = FirstUpdates::default();
    let members = async {
        while first.members.is_none() {
            match source.next().await {
                Ok(DiscoveryUpdate::Members(members)) => first.members = Some(members),
                Ok(DiscoveryUpdate::Keys(keys)) => first.keys = Some(keys),
                Ok(update) => first.rest.push(update),
                Err(error) => first.error = Some(error),
            }
        }
    };
    if timeout(START_TIMEOUT, members).await.is_ok() {
        first.error = None;
        while let Ok(Ok(update)) = timeout(Duration::ZERO, source.next()).await {
            first.rest.push(update);
        }
    }
    first
}

impl InitialDiscovery {
    /// The configuration to [set up](crate::setup_with()) with, which has the upstreams that were found; and the
    /// keys, where the source has any.
    #[must_use]
    pub fn begin(&mut self, config: &config::GatewayConfig) -> (config::GatewayConfig, Option<KeyRing>) {
        let mut begun = config.clone();
        if !self.upstreams.is_empty() {
            begun.upstreams = self.upstreams.iter().map(config::Upstream::from).collect();
        }
        (begun, self.keys.take())
    }

    /// The store of overrides, with etcd.
    pub fn store(&mut self) -> Option<EtcdOverrideStore> {
        self.store.take()
    }

    /// Follows the source for this roster. Its first updates are in force when this returns.
    #[must_use]
    pub fn follow(self, roster: Arc<Roster>, clock: Arc<dyn Clock>) -> FollowerHandle {
        let Self { upstreams, rest, settings, thread: SourceThread { follow, thread }, .. } = self;
        let (mut follower, stop) = Follower::new(roster, clock, settings);
        if !upstreams.is_empty() {
            follower.take(DiscoveryUpdate::Members(upstreams));
        }
        rest.into_iter().for_each(|update| follower.take(update));
        let is_up = follower.is_up();
        if follow.send(follower).is_err() {
            tracing::error!(target: DISCOVERY_TARGET, "the thread of the source has ended");
        }
        FollowerHandle::new(stop, thread, is_up)
    }
}
