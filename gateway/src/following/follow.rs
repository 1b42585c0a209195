//! What a source says from then on.

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

/// A source that is followed. Dropping it ends that.
#[derive(Debug)]
pub struct FollowerHandle {
    _thread: OwnedThread<oneshot::Sender<()>>,
    is_up: Arc<AtomicBool>,
}

impl FollowerHandle {
    pub(super) fn new(stop: oneshot::Sender<()>, thread: JoinHandle<()>, is_up: Arc<AtomicBool>) -> Self {
        Self { _thread: OwnedThread::new(stop, thread), is_up }
    }

    /// Whether the source answers.
    #[must_use]
    pub fn is_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_up)
    }
}

/// What of a source counts here.
#[derive(Debug)]
pub(super) struct FollowSettings {
    /// The text of the keys that are in force.
    pub(super) keys: Option<KeysText>,
    /// Whether its keys count.
    pub(super) shares_keys: bool,
    /// Whether it counts what other gateways tell of who lives where.
    pub(super) shares_live: bool,
}

/// Sketches that could not be absorbed yet, by gateway and upstream.
type Waiting = Mutex<HashMap<(String, String), Sketch>>;

/// Does as a source says.
pub(super) struct Follower {
    roster: Arc<Roster>,
    clock: Arc<dyn Clock>,
    settings: FollowSettings,
    waiting: Arc<Waiting>,
    is_up: Arc<AtomicBool>,
    /// What was warned of last.
    complaint: Option<DiscoveryError>,
    stopped: Option<oneshot::Receiver<()>>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Follower {
    /// Until the sender is dropped.
    pub(super) fn new(
        roster: Arc<Roster>,
        clock: Arc<dyn Clock>,
        settings: FollowSettings,
    ) -> (Self, oneshot::Sender<()>) {
        let (stop, stopped) = oneshot::channel();
        let is_up = Arc::new(AtomicBool::new(true));
        let (waiting, stopped) = (Arc::default(), Some(stopped));
        (Self { roster, clock, settings, waiting, is_up, complaint: None, stopped }, stop)
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
        let telling = tell(presence, Arc::clone(&self.roster), Arc::clone(&self.clock), Arc::clone(&self.waiting));
        let following = async {
            loop {
                match source.next().await {
                    Ok(update) => {
                        self.answered();
                        self.take(update);
                    }
                    Err(error) => self.complain(error),
                }
            }
        };
        tokio::select! {
            _ = stopped => {}
            () = following => {}
            () = telling => {}
        }
    }

    fn answered(&mut self) {
        if self.complaint.take().is_some() {
            tracing::info!(target: DISCOVERY_TARGET, "the source is back");
        }
        self.is_up.store(true, Ordering::Relaxed);
    }

    /// Says so once, whatever it is.
    fn complain(&mut self, error: DiscoveryError) {
        if self.complaint.as_ref() != Some(&error) {
            tracing::warn!(target: DISCOVERY_TARGET, "going on with what is known: {error}");
        }
        if matches!(error, DiscoveryError::Unreachable { .. }) {
            self.is_up.store(false, Ordering::Relaxed);
        }
        self.complaint = Some(error);
    }

    pub(super) fn take(&mut self, update: DiscoveryUpdate) {
        let now = self.clock.now();
        match update {
            DiscoveryUpdate::Members(members) => told("upstreams", self.roster.set_discovered(members, now)),
            DiscoveryUpdate::Overrides(overrides) => told("orders", self.roster.set_overrides(overrides, now)),
            DiscoveryUpdate::Keys(text) if self.settings.shares_keys => self.take_keys(text),
            DiscoveryUpdate::Report { upstream, report } => {
                if let Err(error) = self.roster.heartbeat(&upstream, report, now) {
                    tracing::debug!(target: DISCOVERY_TARGET, upstream, %error, "a report of nobody");
                }
            }
            DiscoveryUpdate::Live { gateway, upstream, sketch } if self.settings.shares_live => {
                let mut waiting = self.waiting.lock();
                let place = (gateway, upstream);
                match absorb(self.roster.balancer(), &place.1, &sketch, &*self.clock) {
                    true => drop(waiting.remove(&place)),
                    false => drop(waiting.insert(place, sketch)),
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
            Ok(signer) => tracing::info!(target: DISCOVERY_TARGET, "keys taken over; key {signer} signs"),
            Err(error) => tracing::warn!(target: DISCOVERY_TARGET, "going on with the keys that are known: {error}"),
        }
        self.settings.keys = Some(text);
    }
}

/// What is applied, the roster's keeper writes down.
fn told(what: &str, applied: Result<Applied, RosterError>) {
    if let Err(error) = applied {
        tracing::warn!(target: DISCOVERY_TARGET, "going on with the {what} that are known: {error}");
    }
}

/// Whether nothing of it is left to be absorbed.
fn absorb(balancer: &Balancer, upstream: &str, sketch: &Sketch, clock: &dyn Clock) -> bool {
    let cluster = balancer.cluster();
    cluster.find_name(upstream).is_some_and(|member| member.upstream().absorb(sketch, clock.now()))
}

/// Tells the other gateways who lives here, and tries again with what they told too soon.
async fn tell(
    presence: Option<(LiveSessionsPublisher, Duration)>,
    roster: Arc<Roster>,
    clock: Arc<dyn Clock>,
    waiting: Arc<Waiting>,
) {
    let Some((mut presence, period)) = presence else { return std::future::pending().await };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let balancer = roster.balancer();
        waiting.lock().retain(|(_, upstream), sketch| !absorb(balancer, upstream, sketch, &*clock));
        // The source logs that etcd is unreachable.
        if let Err(error) = presence.publish(balancer, clock.now()).await {
            tracing::debug!(target: DISCOVERY_TARGET, %error, "cannot publish live sessions");
        }
    }
}
