//! Puts a checked configuration in force: all of it, or nothing.

use super::administration::Administration;
use super::gateway::Gateway;
use super::reload::{CheckedReload, LoadedConfig};
use super::systemd;
use crate::admin::AdminServer;
use crate::config::{ConfigError, Upstream};
use homing::time::{Clock, SystemClock};

impl Gateway {
    pub(super) fn reload(&mut self) {
        systemd::reloading();
        let outcome = self.apply().map_err(|error| error.to_string());
        // Before it is logged, so that a reader of the log finds the outcome in the administration.
        if let Some(admin) = &self.admin {
            admin.admin.reloaded(outcome.as_ref().err().map(String::as_str));
        }
        match outcome {
            Ok(()) => {
                tracing::info!(generation = self.proxy.balancer().generation().as_u64(), "configuration reloaded")
            }
            Err(error) => tracing::error!("configuration refused, the old one stays in force: {error}"),
        }
        systemd::ready();
    }

    /// Puts what the file says now in force.
    fn apply(&mut self) -> Result<(), ConfigError> {
        // Before the file is read, so that a change during the reload is noticed.
        self.files.check();
        let loaded = LoadedConfig::read(&self.file, &mut self.files)?;
        let checked = CheckedReload::check(loaded, &self.config, &self.proxy, &self.roster, self.following.as_ref())?;
        let CheckedReload { loaded, balancer, proxy, tls, admin, token } = checked;
        let config = &loaded.config;
        let prepared = self.running.prepare(&config.listen).map_err(|error| loaded.fault("listen", error))?;
        let listen = config.admin.as_ref().map(|admin| admin.listen);
        let new_address = listen.filter(|listen| !self.admin.as_ref().is_some_and(|admin| admin.listens_on(*listen)));
        let server = new_address.map(AdminServer::bind).transpose();
        let server = server.map_err(|error| loaded.fault("admin.listen", error))?;
        let set_base = |upstreams: &[Upstream]| {
            let base = upstreams.iter().map(Upstream::to_core).collect();
            self.roster.set_base(base, SystemClock.now()).map_err(|error| loaded.fault("upstream", error))
        };
        if config.discovery.is_none() {
            set_base(&config.upstreams)?;
        }
        if let Err(error) = self.proxy.balancer().reconfigure(balancer) {
            // It was checked; should it be refused all the same, the upstreams go back too.
            if config.discovery.is_none() {
                set_base(&self.config.upstreams)?;
            }
            return Err(loaded.fault("affinity", error));
        }
        self.proxy.reconfigure(proxy).map_err(|error| loaded.fault("timeouts", error))?;

        // Nothing below this line can be refused.
        if config.affinity.enabled && config.affinity.cookie != self.config.affinity.cookie {
            tracing::warn!("the affinity cookie has another name: existing sessions are not recognized any more");
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
            std::mem::replace(&mut self.health_checks, next).abort();
        }
        match Administration::replace(self.admin.take(), config, admin, token, server) {
            Ok(admin) => self.admin = admin,
            Err(error) => tracing::error!(%error, "the administration does not run"),
        }
        self.config = loaded.config;
        Ok(())
    }
}
