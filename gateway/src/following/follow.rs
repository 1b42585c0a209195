//! Applies the updates of a source, for as long as the gateway runs.

use super::{DISCOVERY_TARGET, parse_keys};
use crate::discovery::etcd::LiveSessionsPublisher;
use crate::discovery::{DiscoveryError, DiscoverySource, DiscoveryUpdate, KeysText};
use crate::roster::{Applied, Roster, RosterError};
use crate::thread::OwnedThread;
use homing::Balancer;
use homing::cluster::Sketch;
use homing::time::Clock;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

/// A source that is being followed. Dropping it ends that.
#[derive(Debug)]
pub struct FollowerHandle {
    _thread: OwnedThread<oneshot::Sender<()>>,
    is_up: Arc<AtomicBool>,
}

impl FollowerHandle {
    pub(super) fn new(stop: oneshot::Sender<()>, thread: JoinHandle<()>, is_up: Arc<AtomicBool>) -> Self {
        Self { _thread: OwnedThread::new(stop, thread), is_up }
    }

    /// Whether the source responds, kept up to date.
    #[must_use]
    pub fn is_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_up)
    }
}

/// Which updates of a source apply to this gateway.
#[derive(Debug)]
pub(super) struct FollowSettings {
    /// The text of the keys in force.
    pub(super) keys: Option<KeysText>,
    /// Whether its keys apply.
    pub(super) shares_keys: bool,
    /// Whether the live sessions of other gateways apply.
    pub(super) shares_live: bool,
}

/// Sketches that could not be absorbed yet, by gateway and upstream.
type PendingSketches = Mutex<HashMap<(String, String), Sketch>>;

/// Applies updates to the roster and the balancer.
pub(super) struct Follower {
    roster: Arc<Roster>,
    clock: Arc<dyn Clock>,
    settings: FollowSettings,
    pending: Arc<PendingSketches>,
    is_up: Arc<AtomicBool>,
    /// The last error that was logged.
    last_error: Option<DiscoveryError>,
    stopped: Option<oneshot::Receiver<()>>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Follower {
    /// Runs until the sender is dropped.
    pub(super) fn new(
        roster: Arc<Roster>,
        clock: Arc<dyn Clock>,
        settings: FollowSettings,
    ) -> (Self, oneshot::Sender<()>) {
        let (stop, stopped) = oneshot::channel();
        let is_up = Arc::new(AtomicBool::new(true));
        let (pending, stopped) = (Arc::default(), Some(stopped));
        (Self { roster, clock, settings, pending, is_up, last_error: None, stopped }, stop)
    }

    pub(super) fn is_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_up)
    }

    pub(super) async fn run(
        mut self,
        mut source: Box<dyn DiscoverySource>,
        presence: Option<(LiveSessionsPublisher, Duration)>,
    ) {
        let Some(stopped) = self.stopped.take() else { return };
        let exchange =
            exchange_sketches(presence, Arc::clone(&self.roster), Arc::clone(&self.clock), Arc::clone(&self.pending));
        let following = async {
            loop {
                match source.next().await {
                    Ok(update) => {
                        self.responded();
                        self.take(update);
                    }
                    Err(error) => self.failed(error),
                }
            }
        };
        tokio::select! {
            _ = stopped => {}
            () = following => {}
            () = exchange => {}
        }
    }

    fn responded(&mut self) {
        if self.last_error.take().is_some() {
            tracing::info!(target: DISCOVERY_TARGET, "the source responds again");
        }
        self.is_up.store(true, Ordering::Relaxed);
    }

    /// Logs an error once, however often it comes again.
    fn failed(&mut self, error: DiscoveryError) {
        if self.last_error.as_ref() != Some(&error) {
            tracing::warn!(target: DISCOVERY_TARGET, "the last known state stays in force: {error}");
        }
        if matches!(error, DiscoveryError::Unreachable { .. }) {
            self.is_up.store(false, Ordering::Relaxed);
        }
        self.last_error = Some(error);
    }

    pub(super) fn take(&mut self, update: DiscoveryUpdate) {
        let now = self.clock.now();
        match update {
            DiscoveryUpdate::Members(members) => log("upstreams", self.roster.set_discovered(members, now)),
            DiscoveryUpdate::Overrides(overrides) => log("overrides", self.roster.set_overrides(overrides, now)),
            DiscoveryUpdate::Keys(text) if self.settings.shares_keys => self.take_keys(text),
            DiscoveryUpdate::Report { upstream, report } => {
                if let Err(error) = self.roster.heartbeat(&upstream, report, now) {
                    tracing::debug!(target: DISCOVERY_TARGET, upstream, %error, "a report of an unknown upstream");
                }
            }
            DiscoveryUpdate::Live { gateway, upstream, sketch } if self.settings.shares_live => {
                let mut pending = self.pending.lock();
                let key = (gateway, upstream);
                match absorb(self.roster.balancer(), &key.1, &sketch, &*self.clock) {
                    true => drop(pending.remove(&key)),
                    false => drop(pending.insert(key, sketch)),
                }
            }
            DiscoveryUpdate::Keys(_) | DiscoveryUpdate::Live { .. } => {}
        }
    }

    fn take_keys(&mut self, text: KeysText) {
        let balancer = self.roster.balancer();
        if self.settings.keys.as_ref() == Some(&text) || balancer.affinity().is_none() {
            return;
        }
        let taken = parse_keys(&text).and_then(|ring| {
            let signer = ring.signer();
            balancer.set_keys(ring).map(|_| signer).map_err(|error| error.to_string())
        });
        match taken {
            Ok(signer) => tracing::info!(target: DISCOVERY_TARGET, "keys replaced; key {signer} signs"),
            Err(error) => tracing::warn!(target: DISCOVERY_TARGET, "the last known keys stay in force: {error}"),
        }
        self.settings.keys = Some(text);
    }
}

/// Logs a refused update; the roster's ticker logs the applied ones.
fn log(what: &str, applied: Result<Applied, RosterError>) {
    if let Err(error) = applied {
        tracing::warn!(target: DISCOVERY_TARGET, "the last known {what} stay in force: {error}");
    }
}

/// Whether the sketch was absorbed whole.
fn absorb(balancer: &Balancer, upstream: &str, sketch: &Sketch, clock: &dyn Clock) -> bool {
    let cluster = balancer.cluster();
    cluster.find_name(upstream).is_some_and(|member| member.upstream().absorb(sketch, clock.now()))
}

/// Publishes the live sessions of this gateway, and absorbs sketches of others that arrived before their upstream.
async fn exchange_sketches(
    presence: Option<(LiveSessionsPublisher, Duration)>,
    roster: Arc<Roster>,
    clock: Arc<dyn Clock>,
    pending: Arc<PendingSketches>,
) {
    let Some((mut presence, period)) = presence else { return std::future::pending().await };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let balancer = roster.balancer();
        pending.lock().retain(|(_, upstream), sketch| !absorb(balancer, upstream, sketch, &*clock));
        // The source logs that etcd is unreachable.
        if let Err(error) = presence.publish(balancer, clock.now()).await {
            tracing::debug!(target: DISCOVERY_TARGET, %error, "cannot publish live sessions");
        }
    }
}
