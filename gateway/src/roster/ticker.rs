//! The gateway's [roster](crate::roster), and a thread that lets its time pass.

use super::state_file::{self as state, StateFile, StateFileError};
use crate::config::GatewayConfig;
use crate::discovery::etcd::EtcdOverrideStore;
use crate::listen::server::ServeError;
use crate::roster::{Initiator, Roster, RosterEvent, RosterState};
use crate::setup::SetupError;
use crate::thread::Companion;
use homing::Balancer;
use homing::health::Subscription;
use homing::time::{Clock, SystemClock};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

/// How often time passes.
const TICK: Duration = Duration::from_millis(500);

/// The roster of `balancer`, which `config` has set up, with what its state file kept. Makes the file where there is none.
/// Where a fleet keeps the `overrides`, they come from there.
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
        tracing::info!("there is no state file: what operators change lasts until the gateway is stopped");
        return Ok(Arc::new(roster));
    };
    let (file, kept) = StateFile::open(path)?;
    let (overrides, registered) = (kept.overrides.len(), kept.registered.len());
    let roster = roster.store(file);
    restore(&roster, path, kept)?;
    tracing::info!(file = %path.display(), overrides, registered, "state file read");
    Ok(Arc::new(roster))
}

/// Whether [`setup_roster`] would succeed. Leaves nothing behind.
pub(crate) fn check(config: &GatewayConfig, balancer: &Arc<Balancer>) -> Result<(), SetupError> {
    let Some(path) = &config.state else { return Ok(()) };
    if let Some(kept) = state::read(path)? {
        restore(&roster_of(config, balancer), path, kept)?;
    }
    Ok(())
}

fn roster_of(config: &GatewayConfig, balancer: &Arc<Balancer>) -> Roster {
    let roster = Roster::new(Arc::clone(balancer));
    if config.discovery.is_some() { roster.discovered() } else { roster }
}

/// Takes over what the state file at `path` kept.
fn restore(roster: &Roster, path: &Path, kept: RosterState) -> Result<(), StateFileError> {
    let refused = |source| StateFileError::Refused { file: path.to_owned(), source };
    roster.restore(kept, SystemClock.now()).map_err(refused)?;
    Ok(())
}

/// Lets a roster's time [pass](Roster::tick), on a thread of its own, since that may have to wait for a disk, and writes to the
/// log what was applied without being asked for over HTTP. Dropping it ends it.
#[derive(Debug)]
pub struct RosterTicker {
    _thread: Companion<Sender<()>>,
}

impl RosterTicker {
    /// Starts it.
    ///
    /// # Errors
    /// [`ServeError::Worker`] where the thread could not be started.
    pub fn start(roster: Arc<Roster>) -> Result<Self, ServeError> {
        let (stop, stopped) = mpsc::channel();
        let events = roster.subscribe();
        let run = move || {
            let mut fails = false;
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let passed = roster.tick(SystemClock.now());
                // Said once, however often it is tried again.
                if let Err(error) = &passed
                    && !fails
                {
                    tracing::error!(%error, "instances that fell silent stay for now");
                }
                fails = passed.is_err();
                log(&events);
            }
        };
        Ok(Self { _thread: Companion::start("roster", stop, run).map_err(ServeError::Worker)? })
    }
}

fn log(events: &Subscription<RosterEvent>) {
    while let Some(RosterEvent { by, generation, kind, .. }) = events.poll() {
        // What operators and instances do is audited, with who it was.
        if !matches!(by, Initiator::Operator | Initiator::Instance) {
            tracing::info!(target: "homing::roster", %by, generation = generation.as_u64(), "{kind}");
        }
    }
}
