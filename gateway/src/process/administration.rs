//! The running administration, with what it was built from, so that a reload can tell what of it has changed.

use crate::admin::{Admin, AdminServer, BearerToken, RunningAdmin};
use crate::config::GatewayConfig;
use crate::listen::ServeError;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug)]
pub(super) struct Administration {
    /// Its address as configured.
    pub(super) listen: SocketAddr,
    /// With the port that was taken for 0.
    pub(super) address: SocketAddr,
    token: Option<BearerToken>,
    keys: PathBuf,
    pub(super) admin: Admin,
    pub(super) running: RunningAdmin,
}

impl Administration {
    /// Starts the administration that `config` asks for.
    pub(super) fn start(
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

    /// Stops answering and keeps the socket; the returned function starts again.
    #[cfg(unix)]
    pub(super) fn pause(self) -> impl FnOnce() -> Result<Self, ServeError> {
        let Self { listen, address, token, keys, admin, running } = self;
        let server = running.pause();
        move || {
            let running = server?.start(admin.clone())?;
            Ok(Self { listen, address, token, keys, admin, running })
        }
    }

    pub(super) fn listens_on(&self, address: SocketAddr) -> bool {
        self.listen == address || self.address == address
    }

    /// The administration of a new configuration: on `server` where its address changes, otherwise on the socket it
    /// has. Where neither token nor key file has changed, the old [`Admin`] stays, so that its event streams go on.
    pub(super) fn replace(
        old: Option<Self>,
        config: &GatewayConfig,
        admin: Option<Admin>,
        token: Option<BearerToken>,
        server: Option<AdminServer>,
    ) -> Result<Option<Self>, ServeError> {
        let Some(admin) = admin else { return Ok(None) };
        let keys = config.affinity.keys.clone();
        let changed = match old {
            Some(mut old) if server.is_none() => {
                old.listen = config.admin.as_ref().map_or(old.listen, |admin| admin.listen);
                if old.token == token && old.keys == keys {
                    return Ok(Some(old));
                }
                let (listen, address) = (old.listen, old.address);
                let running = old.running.pause()?.start(admin.clone())?;
                Some(Self { listen, address, token, keys, admin, running })
            }
            old => {
                let same = old.filter(|old| old.token == token && old.keys == keys);
                let admin = same.map_or(admin, |old| old.admin);
                Self::start(config, Some(admin), token, |address| {
                    server.map_or_else(|| AdminServer::bind(address), Ok)
                })?
            }
        };
        if let Some(admin) = &changed {
            tracing::info!(address = %admin.address, "administration");
        }
        Ok(changed)
    }
}
