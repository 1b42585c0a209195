//! A gateway as one process runs it, from its configuration file to its end.

use super::reload::{CheckedReload, LoadedConfig};
use super::signals::{ProcessSignal, Signals};
use super::systemd as supervisor;
use crate::admin::{Admin, BearerToken};
use crate::admin::{AdminServer, RunningAdmin};
use crate::config::{ConfigError, GatewayConfig, Upstream};
use crate::file_watch::Files;
use crate::following::{self, FollowerHandle, InitialDiscovery};
use crate::listen::inherit::Inherited;
use crate::listen::server::{RunningServer, ServeError, Server};
use crate::roster::Roster;
use crate::roster::ticker::{RosterTicker, setup_roster};
use crate::setup::{SetupError, admin_token, setup_admin, setup_with};
#[cfg(unix)]
use homing::cluster::Member;
#[cfg(unix)]
use homing::health::State;
use homing::proxy::Proxy;
use homing::time::{Clock, SystemClock};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often it is asked whether all has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration.
    #[error(transparent)]
    GatewayConfig(#[from] ConfigError),
    /// Where upstreams are found.
    #[error(transparent)]
    Discovery(#[from] following::DiscoveryStartError),
    /// What the configuration asks for.
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
/// SIGHUP has it read the file again, and so does a change of it, of its key file, its certificate or its token: see
/// [`run`](Self::run). SIGUSR2 has the program at its own path take over.
#[derive(Debug)]
pub struct Gateway {
    file: PathBuf,
    files: Files,
    config: GatewayConfig,
    proxy: Proxy,
    roster: Arc<Roster>,
    running: RunningServer,
    admin: Option<Administration>,
    signals: Signals,
    /// Looks after the upstreams.
    keeper: JoinHandle<()>,
    /// Lets registrations end.
    roster_keeper: Option<RosterTicker>,
    /// Follows the source of upstreams.
    following: Option<FollowerHandle>,
    #[cfg(unix)]
    predecessor: Option<super::upgrade::Predecessor>,
}

/// The administration, and what it was made from.
#[derive(Debug)]
struct Administration {
    /// Its address as configured.
    listen: SocketAddr,
    address: SocketAddr,
    token: Option<BearerToken>,
    keys: PathBuf,
    admin: Admin,
    running: RunningAdmin,
}

impl Administration {
    /// Starts the administration that `config` asks for.
    fn start(
        config: &GatewayConfig,
        admin: Option<Admin>,
        token: Option<BearerToken>,
        server: impl FnOnce(SocketAddr) -> Result<AdminServer, ServeError>,
    ) -> Result<Option<Self>, ServeError> {
        let Some((admin, settings)) = admin.zip(config.admin.as_ref()) else { return Ok(None) };
        let (listen, keys) = (settings.listen, config.affinity.keys.clone());
        let server = server(listen)?;
        let address = server.address();
        let running = server.start(admin.clone())?;
        Ok(Some(Self { listen, address, token, keys, admin, running }))
    }

    /// Ends it for now; what is returned has it go on.
    #[cfg(unix)]
    fn pause(self) -> impl FnOnce() -> Result<Self, ServeError> {
        let Self { listen, address, token, keys, admin, running } = self;
        let server = running.pause();
        move || {
            let running = server?.start(admin.clone())?;
            Ok(Self { listen, address, token, keys, admin, running })
        }
    }

    fn listens_on(&self, address: SocketAddr) -> bool {
        self.listen == address || self.address == address
    }
}

impl Gateway {
    /// Starts what the configuration in `file` describes, on sockets that were `inherited` where there are some. It accepts
    /// from here on; [`run`](Self::run) has it go on.
    ///
    /// It takes a runtime of tokio's with I/O and time, which need not be multi-threaded: requests are served by threads
    /// of their own.
    ///
    /// # Errors
    /// [`StartError`], saying what to change.
    pub async fn start(file: &Path, mut inherited: Inherited) -> Result<Self, StartError> {
        // Heard before anybody can know that there is something to stop.
        let signals = Signals::new().map_err(StartError::Signals)?;
        let mut files = Files::new(Vec::new());
        let config = LoadedConfig::read(file, &mut files)?.config;
        let mut found = following::start(&config)?;
        let (begun, keys) = found.as_mut().map_or_else(|| (config.clone(), None), |found| found.begin(&config));
        let (proxy, tls) = setup_with(&begun, keys)?;
        // Setting it up may have made the key file.
        files.look();
        let overrides = found.as_mut().and_then(InitialDiscovery::store);
        let roster = setup_roster(&config, proxy.balancer(), overrides)?;
        let following = found.map(|found| found.follow(Arc::clone(&roster), Arc::new(SystemClock)));
        let token = admin_token(&config)?;
        let admin = setup_admin(&config, &proxy, &roster, following.as_ref(), token.clone());
        let server = Server::adopt(&config.listen, config.workers, tls, &mut inherited)?;
        let admin =
            Administration::start(&config, admin, token, |address| AdminServer::adopt(address, &mut inherited))?;
        inherited.tell_of_the_rest();
        let running = server.start(&proxy)?;
        if let Some(admin) = &admin {
            admin.admin.reloaded(None);
        }
        let keeper = tokio::spawn(proxy.run_health_checks(config.health.probes(), std::future::pending()));
        let roster_keeper = Some(RosterTicker::start(Arc::clone(&roster))?);
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
            keeper,
            roster_keeper,
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

    /// Whether clients speak TLS with it.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.config.tls.is_some()
    }

    /// Goes on until it is told to stop, and then until what runs has finished or `timeouts.shutdown` is over; or until
    /// another process has taken over, and what runs here has finished or `timeouts.upgrade` is over.
    ///
    /// A new configuration is checked whole before any of it is taken over; one that is wrong is refused in one line of
    /// the log, and the old one goes on. Connections go on by the settings that they began with. What cannot change while
    /// the gateway runs (`workers`, `state`, `discovery`, `affinity.enabled`, `affinity.live_window`) is refused like a fault.
    pub async fn run(mut self) {
        supervisor::ready();
        #[cfg(unix)]
        if let Some(predecessor) = self.predecessor.take() {
            predecessor.tell_ready();
        }
        loop {
            let told = tokio::select! {
                told = self.signals.next() => told,
                () = self.files.changed() => ProcessSignal::Reload,
            };
            match told {
                ProcessSignal::Stop => return self.stop().await,
                ProcessSignal::Reload => self.reload(),
                #[cfg(unix)]
                ProcessSignal::Upgrade => {
                    if self.is_followed().await {
                        return self.retire().await;
                    }
                }
            }
        }
    }

    fn reload(&mut self) {
        supervisor::reloading();
        let outcome = self.take_over().map_err(|error| error.to_string());
        // Before the log has it, for whoever reads the log looks here next.
        if let Some(admin) = &self.admin {
            admin.admin.reloaded(outcome.as_ref().err().map(String::as_str));
        }
        match outcome {
            Ok(()) => {
                tracing::info!(generation = self.proxy.balancer().generation().as_u64(), "configuration reloaded")
            }
            Err(error) => tracing::error!("configuration refused, the old one stays in force: {error}"),
        }
        supervisor::ready();
    }

    /// Takes over what the file says now: all of it, or nothing.
    fn take_over(&mut self) -> Result<(), ConfigError> {
        // Before it is read, so that what changes meanwhile is noticed.
        self.files.look();
        let source = LoadedConfig::read(&self.file, &mut self.files)?;
        let candidate = CheckedReload::check(source, &self.config, &self.proxy, &self.roster, self.following.as_ref())?;
        let CheckedReload { source, balancer, proxy, tls, admin, token } = candidate;
        let config = &source.config;
        let prepared = self.running.prepare(&config.listen).map_err(|error| source.fault("listen", error))?;
        let listen = config.admin.as_ref().map(|admin| admin.listen);
        let new_address = listen.filter(|listen| !self.admin.as_ref().is_some_and(|admin| admin.listens_on(*listen)));
        let server = new_address.map(AdminServer::bind).transpose();
        let server = server.map_err(|error| source.fault("admin.listen", error))?;
        let set_base = |upstreams: &[Upstream]| {
            let base = upstreams.iter().map(Upstream::to_core).collect();
            self.roster.set_base(base, SystemClock.now()).map_err(|error| source.fault("upstream", error))
        };
        if config.discovery.is_none() {
            set_base(&config.upstreams)?;
        }
        if let Err(error) = self.proxy.balancer().reconfigure(balancer) {
            // It was checked; if it is refused all the same, nothing of it is to stay.
            if config.discovery.is_none() {
                set_base(&self.config.upstreams)?;
            }
            return Err(source.fault("affinity", error));
        }
        self.proxy.reconfigure(proxy).map_err(|error| source.fault("timeouts", error))?;

        // From here on nothing can be refused any more.
        if config.affinity.enabled && config.affinity.cookie != self.config.affinity.cookie {
            tracing::warn!("the affinity cookie has another name: sessions begin anew");
        }
        let (added, removed) = self.running.apply(prepared, tls, config.timeouts.idle);
        for address in added {
            tracing::info!(%address, "listening");
        }
        for address in removed {
            tracing::info!(%address, "no longer listening; what runs there finishes");
        }
        if config.health.probes() != self.config.health.probes() {
            let next = tokio::spawn(self.proxy.run_health_checks(config.health.probes(), std::future::pending()));
            std::mem::replace(&mut self.keeper, next).abort();
        }
        self.change_admin(config, admin, token, server);
        self.config = source.config;
        Ok(())
    }

    /// The administration as `config` has it, on `server` where it moves there. Where nothing has changed of it, whoever
    /// listens to its events goes on to.
    fn change_admin(
        &mut self,
        config: &GatewayConfig,
        admin: Option<Admin>,
        token: Option<BearerToken>,
        server: Option<AdminServer>,
    ) {
        let Some(admin) = admin else {
            self.admin = None;
            return;
        };
        let changed = match self.admin.take() {
            Some(mut old) if server.is_none() => {
                old.listen = config.admin.as_ref().map_or(old.listen, |admin| admin.listen);
                if old.token == token && old.keys == config.affinity.keys {
                    self.admin = Some(old);
                    return;
                }
                let (listen, address, keys) = (old.listen, old.address, config.affinity.keys.clone());
                let running = old.running.pause().and_then(|server| server.start(admin.clone()));
                running.map(|running| Some(Administration { listen, address, token, keys, admin, running }))
            }
            old => {
                let same = old.filter(|old| old.token == token && old.keys == config.affinity.keys);
                let admin = same.map_or(admin, |old| old.admin);
                Administration::start(config, Some(admin), token, |address| {
                    server.map_or_else(|| AdminServer::bind(address), Ok)
                })
            }
        };
        match changed {
            Ok(admin) => self.admin = admin,
            Err(error) => tracing::error!(%error, "the administration does not run"),
        }
        if let Some(admin) = &self.admin {
            tracing::info!(address = %admin.address, "administration");
        }
    }

    /// Whether the program at this one's path has taken over.
    #[cfg(unix)]
    async fn is_followed(&mut self) -> bool {
        let sockets = || -> io::Result<Vec<_>> {
            let mut sockets = self.running.sockets()?;
            // Last, for one of port 0 takes whatever comes first.
            sockets.extend(self.admin.as_ref().map(|admin| admin.running.socket()).transpose()?);
            Ok(sockets)
        };
        let sockets = match sockets() {
            Ok(sockets) => sockets,
            Err(error) => {
                tracing::error!(%error, "no upgrade, this process goes on: its sockets cannot be passed on");
                return false;
            }
        };
        if self.is_changed() {
            tracing::warn!(
                "what an operator has changed or drained is kept nowhere: the new process begins as configured"
            );
        }
        tracing::info!("starting the program anew, to take over");
        // What they changed from here on, the successor would not have read.
        let admin = self.admin.take().map(Administration::pause);
        self.roster_keeper = None;
        match super::upgrade::start_successor(sockets).await {
            Ok(process) => {
                tracing::info!(process, "another process has taken over: what runs here may finish");
                supervisor::followed_by(process);
                true
            }
            Err(error) => {
                let admin = admin.map(|resume| resume()).transpose();
                self.admin = admin
                    .inspect_err(|error| tracing::error!(%error, "the administration does not run"))
                    .ok()
                    .flatten();
                let keeper = RosterTicker::start(Arc::clone(&self.roster));
                self.roster_keeper =
                    keeper.inspect_err(|error| tracing::error!(%error, "registrations do not end")).ok();
                tracing::error!("no upgrade, this process goes on: {error}");
                false
            }
        }
    }

    /// Whether the cluster is another than the configuration has it, and nobody else knows.
    #[cfg(unix)]
    fn is_changed(&self) -> bool {
        if self.config.state.is_some() || self.config.discovery.is_some() {
            return false;
        }
        let configured = |member: &Member| {
            let config = member.config();
            self.config.upstreams.iter().any(|upstream| upstream.to_core() == config)
        };
        let balancer = self.proxy.balancer();
        let cluster = balancer.cluster();
        cluster.len() != self.config.upstreams.len()
            || !cluster.members().iter().all(configured)
            || balancer.status().iter().any(|status| status.state == State::Draining)
    }

    /// Lets what runs finish, now that another process accepts.
    #[cfg(unix)]
    async fn retire(mut self) {
        let timeouts = self.config.timeouts.clone();
        // Idle connections are closed when they would be anyway, unless they bring a request more before.
        self.running.retire(timeouts.idle, timeouts.upgrade);
        loop {
            tokio::select! {
                () = ended(&self.running) => break,
                told = self.signals.next() => match told {
                    ProcessSignal::Stop => return self.stop().await,
                    told => tracing::warn!(?told, "ignored: another process has taken over"),
                },
            }
        }
        self.join(Duration::ZERO);
    }

    async fn stop(mut self) {
        let grace = self.config.timeouts.shutdown;
        tracing::info!(?grace, "stopping: what runs may finish");
        supervisor::stopping();
        self.running.retire(Duration::ZERO, grace);
        // The administration lives on meanwhile, for whoever watches that; and so does the keeper.
        ended(&self.running).await;
        self.join(grace);
    }

    fn join(self, grace: Duration) {
        self.keeper.abort();
        self.running.stop(grace);
    }
}

async fn ended(running: &RunningServer) {
    while !running.is_done() {
        sleep(LOOK).await;
    }
}
