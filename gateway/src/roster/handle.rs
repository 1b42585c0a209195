//! The roster itself: what it holds, and what can be read of it.

use super::event::{Initiator, Origin, RosterEvent};
use super::heartbeats::Heartbeats;
use super::membership::{Base, Membership};
use super::overrides::DrainOverride;
use super::registration::Registration;
use super::report::InstanceReport;
use super::state::RosterState;
use super::store::{NoStore, RosterStore};
use arc_swap::ArcSwap;
use homing::balancer::Balancer;
use homing::cluster::{Cluster, Effect, Generation, Member, UpstreamConfig};
use homing::health::{Subscribers, Subscription};
use homing::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The outcome of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The generation before.
    pub from: Generation,
    /// The generation now; the same where the cluster has not changed.
    pub generation: Generation,
    /// The effects on upstreams.
    pub effects: Vec<Effect>,
}

/// One upstream as the roster knows it.
#[derive(Clone, PartialEq, Debug)]
pub struct RosterUpstream {
    /// Where its address comes from.
    pub origin: Origin,
    /// Its registration, if it has one.
    pub registration: Option<RegistrationLifetime>,
    /// Its last report, and when that was received.
    pub report: Option<(InstanceReport, Timestamp)>,
    /// Its drain, by an override, a deregistration or missing heartbeats.
    pub drain: Option<DrainOverride>,
    /// What initiated the drain; an operator, where several did.
    pub drained_by: Option<Initiator>,
}

/// How long a registration lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistrationLifetime {
    /// For how long it lasts without a heartbeat.
    pub ttl: Duration,
    /// When it expires without a heartbeat; while it drains, when the upstream is removed.
    pub expires: Timestamp,
}

/// Decides which upstreams are in the cluster of a balancer. Shared by all threads. See the [module](super).
///
/// Changes wait for each other, and for the [`RosterStore`]; reads and heartbeats do not. A change costs what building
/// the next cluster costs.
pub struct Roster {
    pub(super) balancer: Arc<Balancer>,
    pub(super) store: Box<dyn RosterStore>,
    /// Replaced under the lock of `published` alone.
    pub(super) membership: ArcSwap<Membership>,
    pub(super) published: Mutex<Published>,
    /// Locked after `published`, where both are.
    pub(super) heartbeats: Mutex<Heartbeats>,
}

/// What the balancer and the store have been given last.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) upstreams: Vec<UpstreamConfig>,
    pub(super) drains: BTreeMap<String, Option<Timestamp>>,
    /// What the store has: saved by this roster, or restored from it.
    pub(super) stored: Arc<Membership>,
    pub(super) subscribers: Subscribers<RosterEvent>,
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster").field("balancer", &self.balancer).finish_non_exhaustive()
    }
}

impl Roster {
    /// A roster whose base is what `balancer` has. Its overrides last as long as it does.
    #[must_use]
    pub fn new(balancer: Arc<Balancer>) -> Self {
        let upstreams = configs(&balancer.cluster());
        // It never fails: the names of a cluster are unique.
        let base = Arc::new(Base::new(upstreams.clone(), false).unwrap_or_default());
        let membership = Arc::new(Membership { base, ..Membership::default() });
        Self {
            balancer,
            store: Box::new(NoStore),
            published: Mutex::new(Published {
                upstreams,
                drains: BTreeMap::new(),
                stored: Arc::clone(&membership),
                subscribers: Subscribers::default(),
            }),
            membership: ArcSwap::new(membership),
            heartbeats: Mutex::default(),
        }
    }

    /// Makes the base one of a discovery source, as after [`set_discovered`](Self::set_discovered).
    #[must_use]
    pub fn discovered(mut self) -> Self {
        let mut membership = Membership::clone(&self.membership.load());
        Arc::make_mut(&mut membership.base).is_discovered = true;
        let membership = Arc::new(membership);
        self.published.get_mut().stored = Arc::clone(&membership);
        self.membership = ArcSwap::new(membership);
        self
    }

    /// Saves overrides and registrations in `store`.
    #[must_use]
    pub fn store(mut self, store: impl RosterStore + 'static) -> Self {
        self.store = Box::new(store);
        self
    }

    /// The balancer whose cluster it decides.
    #[must_use]
    pub fn balancer(&self) -> &Arc<Balancer> {
        &self.balancer
    }

    /// What is known of the upstream of this name; `None` where it should not be in the cluster. Costs three table
    /// lookups.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<RosterUpstream> {
        let membership = self.membership.load();
        let heartbeats = self.heartbeats.lock();
        let lifetime = |it: &Registration| RegistrationLifetime {
            ttl: it.ttl,
            expires: match it.drain_deadline() {
                Some(at) => at.after(self.balancer.drain_spread()),
                None => heartbeats.last(name).after(it.ttl),
            },
        };
        Some(RosterUpstream {
            origin: membership.origin(name)?,
            registration: membership.registered.get(name).map(lifetime),
            report: heartbeats.report(name),
            drain: membership.drain_of(name).map(|until| DrainOverride { until }),
            drained_by: membership.drained_by(name),
        })
    }

    /// What is saved from this run of the process to the next.
    #[must_use]
    pub fn state(&self) -> RosterState {
        let membership = self.membership.load();
        RosterState { overrides: membership.overrides.clone(), registered: membership.registered.clone() }
    }

    /// Every event from here on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<RosterEvent> {
        self.published.lock().subscribers.subscribe()
    }
}

pub(super) fn configs(cluster: &Cluster) -> Vec<UpstreamConfig> {
    cluster.members().iter().map(Member::config).collect()
}
