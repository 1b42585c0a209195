//! A thread that lets a roster's time pass and logs what it applied.

use super::{Initiator, Roster, RosterEvent};
use crate::thread::OwnedThread;
use homing::health::Subscription;
use homing::time::{Clock, SystemClock};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

/// From one [`Roster::tick`] to the next.
const TICK: Duration = Duration::from_millis(500);

/// Calls [`Roster::tick`] twice a second, on a thread of its own, since a tick may wait for a disk. Dropping it ends
/// the thread.
///
/// It logs what was applied, but for changes by operators and instances, which the audit log has with their sender.
#[derive(Debug)]
pub struct RosterTicker {
    _thread: OwnedThread<Sender<()>>,
}

impl RosterTicker {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the thread could not be started.
    pub fn start(roster: Arc<Roster>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let events = roster.subscribe();
        let run = move || {
            let mut fails = false;
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let ticked = roster.tick(SystemClock.now());
                // Logged once, however often it is tried again.
                if let Err(error) = &ticked
                    && !fails
                {
                    tracing::error!(%error, "silent instances stay registered for now");
                }
                fails = ticked.is_err();
                log(&events);
            }
        };
        Ok(Self { _thread: OwnedThread::start("roster", stop, run)? })
    }
}

fn log(events: &Subscription<RosterEvent>) {
    while let Some(RosterEvent { by, generation, kind, .. }) = events.poll() {
        if !matches!(by, Initiator::Operator | Initiator::Instance) {
            tracing::info!(target: "homing::roster", %by, generation = generation.as_u64(), "{kind}");
        }
    }
}
