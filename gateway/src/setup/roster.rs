//! The roster, with what its state file holds.

use super::SetupError;
use crate::config::GatewayConfig;
use crate::discovery::etcd::EtcdOverrideStore;
use crate::roster::state_file::{self, StateFile, StateFileError};
use crate::roster::{Roster, RosterState};
use homing::Balancer;
use homing::time::{Clock, SystemClock};
use std::path::Path;
use std::sync::Arc;

/// The roster of `balancer`, which `config` has set up, with what its state file holds. Creates the file where absent.
/// A fleet keeps its `overrides` in etcd instead, and they come from there.
///
/// # Errors
/// [`SetupError::State`].
pub fn setup_roster(
    config: &GatewayConfig,
    balancer: &Arc<Balancer>,
    overrides: Option<EtcdOverrideStore>,
) -> Result<Arc<Roster>, SetupError> {
    let roster = roster_of(config, balancer);
    if let Some(overrides) = overrides {
        return Ok(Arc::new(roster.store(overrides)));
    }
    let Some(path) = &config.state else {
        tracing::info!("no state file is configured: overrides and registrations last until the gateway is stopped");
        return Ok(Arc::new(roster));
    };
    let (file, state) = StateFile::open(path)?;
    let (overrides, registered) = (state.overrides.len(), state.registered.len());
    let roster = roster.store(file);
    restore(&roster, path, state)?;
    tracing::info!(file = %path.display(), overrides, registered, "state file read");
    Ok(Arc::new(roster))
}

/// Whether [`setup_roster`] would succeed. Leaves nothing behind.
pub(super) fn check_roster(config: &GatewayConfig, balancer: &Arc<Balancer>) -> Result<(), SetupError> {
    let Some(path) = &config.state else { return Ok(()) };
    if let Some(state) = state_file::read(path)? {
        restore(&roster_of(config, balancer), path, state)?;
    }
    Ok(())
}

fn roster_of(config: &GatewayConfig, balancer: &Arc<Balancer>) -> Roster {
    let roster = Roster::new(Arc::clone(balancer));
    if config.discovery.is_some() { roster.discovered() } else { roster }
}

fn restore(roster: &Roster, path: &Path, state: RosterState) -> Result<(), StateFileError> {
    let refused = |source| StateFileError::Refused { file: path.to_owned(), source };
    roster.restore(state, SystemClock.now()).map_err(refused)?;
    Ok(())
}
