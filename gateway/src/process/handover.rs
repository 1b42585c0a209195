//! Hands the sockets over to a successor, and takes the administration back where that fails.

use super::administration::Administration;
use super::gateway::Gateway;
use super::{systemd, upgrade};
use crate::roster::RosterTicker;
use homing::cluster::Member;
use homing::health::State;
use std::io;
use std::sync::Arc;

impl Gateway {
    /// Whether the program at this one's path has taken over.
    pub(super) async fn hand_over(&mut self) -> bool {
        let sockets = || -> io::Result<Vec<_>> {
            let mut sockets = self.running.sockets()?;
            // Last, since a configured port 0 takes the first inherited socket of its host.
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
        if self.has_unsaved_overrides() {
            tracing::warn!(
                "there is no state file: the new process begins without the overrides and drains of operators"
            );
        }
        tracing::info!("starting the program anew, to take over");
        // The successor has read the roster's state by the time it accepts: nothing may change it from here on.
        let admin = self.admin.take().map(Administration::pause);
        self.roster_ticker = None;
        match upgrade::start_successor(sockets).await {
            Ok(process) => {
                tracing::info!(process, "another process has taken over: what runs here may finish");
                systemd::succeeded_by(process);
                true
            }
            Err(error) => {
                let admin = admin.map(|resume| resume()).transpose();
                self.admin = admin
                    .inspect_err(|error| tracing::error!(%error, "the administration does not run"))
                    .ok()
                    .flatten();
                let ticker = RosterTicker::start(Arc::clone(&self.roster));
                self.roster_ticker =
                    ticker.inspect_err(|error| tracing::error!(%error, "registrations do not expire")).ok();
                tracing::error!("no upgrade, this process goes on: {error}");
                false
            }
        }
    }

    /// Whether the cluster differs from the configuration in a way that only this process knows.
    fn has_unsaved_overrides(&self) -> bool {
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
}
