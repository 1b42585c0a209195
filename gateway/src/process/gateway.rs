//! The parts of a running gateway, and how they start.

use super::administration::Administration;
use super::reload::LoadedConfig;
use super::signals::Signals;
use crate::admin::AdminServer;
use crate::config::{ConfigError, GatewayConfig};
use crate::file_watch::FileWatch;
use crate::following::{self, FollowerHandle, InitialDiscovery};
use crate::listen::ServeError;
use crate::listen::inherit::Inherited;
#[cfg(unix)]
use crate::listen::predecessor::Predecessor;
use crate::listen::server::{RunningServer, Server};
use crate::roster::{Roster, RosterTicker};
use crate::setup::{SetupError, admin_token, setup_admin, setup_roster, setup_with};
use homing::proxy::Proxy;
use homing::time::SystemClock;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its discovery source.
    #[error(transparent)]
    Discovery(#[from] following::DiscoveryStartError),
    /// Something that the configuration names: keys, certificates, the state file.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Its sockets or threads.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Its signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
}

/// A gateway that serves what its configuration file says, and follows that file.
///
/// It reads the file again on SIGHUP and whenever the file, its key file, its certificate or its token changes: see
/// [`run`](Self::run). On SIGUSR2 the program at its own path takes over.
#[derive(Debug)]
pub struct Gateway {
    pub(super) file: PathBuf,
    pub(super) files: FileWatch,
    pub(super) config: GatewayConfig,
    pub(super) proxy: Proxy,
    pub(super) roster: Arc<Roster>,
    pub(super) running: RunningServer,
    pub(super) admin: Option<Administration>,
    pub(super) signals: Signals,
    pub(super) health_checks: JoinHandle<()>,
    /// Lets registrations expire. `None` while a successor may take over.
    pub(super) roster_ticker: Option<RosterTicker>,
    /// Follows the discovery source.
    pub(super) following: Option<FollowerHandle>,
    #[cfg(unix)]
    pub(super) predecessor: Option<Predecessor>,
}

impl Gateway {
    /// Starts what the configuration in `file` describes, on sockets that were `inherited` where there are some. It
    /// accepts from here on; [`run`](Self::run) keeps it going.
    ///
    /// Needs a tokio runtime with I/O and time, which may be single-threaded: requests are served by threads of their
    /// own.
    ///
    /// # Errors
    /// [`StartError`], saying what to change.
    pub async fn start(file: &Path, mut inherited: Inherited) -> Result<Self, StartError> {
        // First: from the moment a socket accepts, a supervisor may send signals.
        let signals = Signals::new().map_err(StartError::Signals)?;
        let mut files = FileWatch::new(Vec::new());
        let config = LoadedConfig::read(file, &mut files)?.config;
        let mut found = following::start(&config)?;
        let (begun, keys) = found.as_mut().map_or_else(|| (config.clone(), None), |found| found.begin(&config));
        let (proxy, tls) = setup_with(&begun, keys)?;
        // Setup may have created the key file, which is no change to reload for.
        files.check();
        let overrides = found.as_mut().and_then(InitialDiscovery::store);
        let roster = setup_roster(&config, proxy.balancer(), overrides)?;
        let following = found.map(|found| found.follow(Arc::clone(&roster), Arc::new(SystemClock)));
        let token = admin_token(&config)?;
        let admin = setup_admin(&config, &proxy, &roster, following.as_ref(), token.clone());
        let server = Server::adopt(&config.listen, config.workers, tls, &mut inherited)?;
        let admin =
            Administration::start(&config, admin, token, |address| AdminServer::adopt(address, &mut inherited))?;
        inherited.warn_of_unused();
        let running = server.start(&proxy)?;
        if let Some(admin) = &admin {
            admin.admin.reloaded(None);
        }
        let health_checks = tokio::spawn(proxy.run_health_checks(config.health.probes(), std::future::pending()));
        let roster_ticker = Some(RosterTicker::start(Arc::clone(&roster)).map_err(ServeError::Worker)?);
        #[cfg(unix)]
        let predecessor = inherited.predecessor();
        Ok(Self {
            file: file.to_owned(),
            files,
            config,
            proxy,
            roster,
            running,
            admin,
            signals,
            health_checks,
            roster_ticker,
            following,
            #[cfg(unix)]
            predecessor,
        })
    }

    /// The addresses it listens on, with the ports that were taken for 0.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.running.addresses()
    }

    /// The address of the administration, where there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Whether it serves clients over TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.config.tls.is_some()
    }
}
