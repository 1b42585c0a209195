//! *Who is meant to be in the cluster*, and by whose word.
//!
//! A balancer does what it is told; a [`Roster`] remembers who told it what, so that a configuration that is read again
//! does not undo what an operator ordered, and an instance that came by itself goes by itself. Once there is one, every
//! change of the balancer's membership and every drain should go through it.
//!
//! Three layers, later ones win, name by name:
//!
//! 1. the *base*: the upstreams of the configuration, or those that a discovery source says;
//! 2. *registered*: instances that put themselves there, and report at intervals that they still are;
//! 3. *orders*: what an operator said. What they leave open is as the layers below say: a changed weight does not hold on to
//!    an address that moves.
//!
//! An order that says nothing new is dropped, and so is one about a name that nobody else has.
//!
//! ```
//! use homing::roster::{Origin, Report, Roster};
//! use homing::{Balancer, Change, Timestamp, UpstreamConfig};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! let now = Timestamp::from_secs(1_700_000_000);
//! let balancer = Balancer::builder().upstream(UpstreamConfig::new("app-1", "10.0.0.1:8080")).build()?;
//! let roster = Roster::new(Arc::new(balancer));
//!
//! // An operator changes a weight; then the configuration gives the upstream another address.
//! roster.change(&[Change::Put(UpstreamConfig::new("app-1", "10.0.0.1:8080").weight(3))], None, now)?;
//! roster.set_base(vec![UpstreamConfig::new("app-1", "10.0.0.9:8080")], now)?;
//! let cluster = roster.balancer().cluster();
//! assert_eq!(cluster.members()[0].upstream().address(), "10.0.0.9:8080");
//! assert_eq!(cluster.members()[0].weight(), 3);
//!
//! // An instance comes by itself, and says how it is.
//! roster.register(UpstreamConfig::new("app-2", "10.0.0.2:8080"), Duration::from_secs(15), now)?;
//! roster.heartbeat("app-2", Report { sessions: Some(12), ..Report::default() }, now)?;
//! assert_eq!(roster.about("app-2").map(|about| about.origin), Some(Origin::Registered));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//!
//! It reads no clock and does no I/O: the time comes in, and a [`RosterStore`] keeps what is to outlive the process. It is not
//! on the way of a request.

mod apply;
mod error;
mod event;
mod membership;
mod overrides;
mod report;
pub mod state_file;
mod store;
mod ticker;

#[cfg(test)]
mod tests;

pub use error::{RosterError, StoreError};
pub use event::{Initiator, Origin, RosterChange, RosterEvent};
pub use overrides::{DrainOverride, Override, Overrides, Registration, Registrations, RosterState, UpstreamOverride};
pub use report::InstanceReport;
pub use store::RosterStore;
pub use ticker::RosterTicker;

use apply::{Published, configs};
use arc_swap::ArcSwap;
use homing::balancer::{Balancer, UnknownUpstream};
use homing::cluster::{
    ApplyError, Change, ClusterError, Effect, Generation, MAX_UPSTREAMS, Member, Plan, PlanError, UpstreamConfig,
};
use homing::health::{Subscribers, Subscription};
use homing::time::Timestamp;
use membership::{Base, Membership};
use parking_lot::Mutex;
use report::Heartbeats;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::NoStore;

/// The shortest time that a registration may last without being heard of.
pub const MIN_TTL: Duration = Duration::from_secs(1);

/// The longest time that a registration may last without being heard of.
pub const MAX_TTL: Duration = Duration::from_hours(24);

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The generation before.
    pub from: Generation,
    /// The generation now; the same where the cluster is as it was.
    pub generation: Generation,
    /// What upstreams see of it.
    pub effects: Vec<Effect>,
}

/// What a roster knows of an upstream.
#[derive(Clone, PartialEq, Debug)]
pub struct UpstreamRecord {
    /// By whose word it is there.
    pub origin: Origin,
    /// Its registration, if it has one.
    pub registration: Option<RegistrationLifetime>,
    /// What it said of itself last, and when.
    pub report: Option<(InstanceReport, Timestamp)>,
    /// Where it is drained by an order, or for want of being heard of: when the sessions it has begin to leave.
    pub drain: Option<DrainOverride>,
    /// By whose doing it is drained: an operator's before all others.
    pub drained_by: Option<Initiator>,
}

/// How long a registration lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistrationLifetime {
    /// For how long, each time it is heard of.
    pub ttl: Duration,
    /// When it ends unless it is heard of; where it already drains, when it goes.
    pub expires: Timestamp,
}

/// Says to a balancer who is in its cluster. Shared by all threads. See the [module](self).
///
/// Changes wait for each other, and for the [`RosterStore`]; whoever only looks, or sends a heartbeat, waits for nobody. A change
/// costs what building the next cluster costs.
pub struct Roster {
    balancer: Arc<Balancer>,
    store: Box<dyn RosterStore>,
    /// Changed under the lock of `told` alone.
    layers: ArcSwap<Membership>,
    told: Mutex<Published>,
    /// Locked after `told`, where both are.
    heard: Mutex<Heartbeats>,
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster").field("balancer", &self.balancer).finish_non_exhaustive()
    }
}

impl Roster {
    /// A roster whose base is what `balancer` has. Its orders last as long as it does.
    #[must_use]
    pub fn new(balancer: Arc<Balancer>) -> Self {
        let upstreams = configs(&balancer.cluster());
        // A cluster has no name twice.
        let base = Arc::new(Base::new(upstreams.clone(), false).unwrap_or_default());
        let layers = Arc::new(Membership { base, ..Membership::default() });
        Self {
            balancer,
            store: Box::new(NoStore),
            told: Mutex::new(Published {
                upstreams,
                drains: BTreeMap::new(),
                kept: Arc::clone(&layers),
                subscribers: Subscribers::default(),
            }),
            layers: ArcSwap::new(layers),
            heard: Mutex::default(),
        }
    }

    /// With a base that a discovery source has said, as after [`set_discovered`](Self::set_discovered).
    #[must_use]
    pub fn discovered(mut self) -> Self {
        let mut layers = Membership::clone(&self.layers.load());
        Arc::make_mut(&mut layers.base).is_discovered = true;
        let layers = Arc::new(layers);
        self.told.get_mut().kept = Arc::clone(&layers);
        self.layers = ArcSwap::new(layers);
        self
    }

    /// With a place where orders and registrations are kept.
    #[must_use]
    pub fn store(mut self, store: impl RosterStore + 'static) -> Self {
        self.store = Box::new(store);
        self
    }

    /// The balancer that it tells.
    #[must_use]
    pub fn balancer(&self) -> &Arc<Balancer> {
        &self.balancer
    }

    /// Takes over what an earlier run kept. Registrations last anew from `now` on. Nothing is saved.
    ///
    /// # Errors
    /// [`RosterError::Plan`] where no cluster comes of it: the orders remove every upstream of the base, say.
    pub fn restore(&self, state: RosterState, now: Timestamp) -> Result<Applied, RosterError> {
        let mut told = self.told.lock();
        let mut next = self.current(&mut told);
        let RosterState { overrides, registered } = state;
        (next.overrides, next.registered) = (overrides, registered);
        {
            let mut heard = self.heard.lock();
            next.registered.keys().for_each(|name| heard.note(name, None, now));
        }
        let kept = Arc::new(next.clone());
        // What a discovery source does not say now, it may say soon.
        if !next.base.is_discovered {
            next.settle_all();
        }
        self.follow(&mut told, kept, next, now)
    }

    /// Takes these upstreams, of a configuration, for the base. Orders that they fulfil, or about names that nobody has any
    /// more, are dropped.
    ///
    /// # Errors
    /// [`RosterError`], where no cluster comes of it, say; an empty base is refused too.
    pub fn set_base(&self, base: Vec<UpstreamConfig>, now: Timestamp) -> Result<Applied, RosterError> {
        let mut told = self.told.lock();
        let mut next = self.current(&mut told);
        next.base = Arc::new(Base::new(base, false)?);
        next.settle_all();
        self.commit(&mut told, next, Initiator::Configuration, now)
    }

    /// Takes these upstreams, of a discovery source, for the base. Orders stay, whatever they are about: what a source has
    /// lost it may find again.
    ///
    /// # Errors
    /// As of [`set_base`](Self::set_base).
    pub fn set_discovered(&self, base: Vec<UpstreamConfig>, now: Timestamp) -> Result<Applied, RosterError> {
        let mut told = self.told.lock();
        let mut next = self.current(&mut told);
        next.base = Arc::new(Base::new(base, true)?);
        self.commit(&mut told, next, Initiator::Discovery, now)
    }

    /// Takes all orders over as they were kept: those of another gateway, say. Nothing is saved, and nothing is dropped.
    ///
    /// # Errors
    /// [`RosterError::Plan`] where no cluster comes of it.
    pub fn set_overrides(&self, overrides: Overrides, now: Timestamp) -> Result<Applied, RosterError> {
        let mut told = self.told.lock();
        let mut next = self.current(&mut told);
        next.overrides = overrides;
        self.follow(&mut told, Arc::new(next.clone()), next, now)
    }

    /// Works out what an operator's changes would do, and makes none.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn plan(&self, changes: &[Change]) -> Result<Plan, PlanError> {
        let mut told = self.told.lock();
        let mut next = self.current(&mut told);
        changes.iter().try_for_each(|change| next.change(change))?;
        drop(told);
        self.plan_for(&next.wanted_all())
    }

    /// Makes an operator's changes: all, or none where the generation is not the `expected` one. They are stored before
    /// they take effect.
    ///
    /// # Errors
    /// [`RosterError`].
    pub fn change(
        &self,
        changes: &[Change],
        expected: Option<Generation>,
        now: Timestamp,
    ) -> Result<Applied, RosterError> {
        let mut told = self.told.lock();
        let current = self.balancer.generation();
        // First, since what was planned may make no sense any more.
        if let Some(planned) = expected.filter(|expected| *expected != current) {
            return Err(ApplyError::Stale { planned, current }.into());
        }
        let mut next = self.current(&mut told);
        changes.iter().try_for_each(|change| next.change(change))?;
        self.commit(&mut told, next, Initiator::Operator, now)
    }

    /// Orders a [drain](Balancer::drain), with a `deadline` from `now` on. It is kept as a moment of wall-clock time.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] and [`RosterError::Store`].
    pub fn drain(&self, name: &str, deadline: Option<Duration>, now: Timestamp) -> Result<(), RosterError> {
        let mut told = self.told.lock();
        let mut next = self.current(&mut told);
        next.knows(name)?;
        let until = deadline.map(|deadline| now.after(deadline));
        next.overrides.entry(name.to_owned()).or_default().drain = Some(DrainOverride { until });
        self.commit(&mut told, next, Initiator::Operator, now).map(|_| ())
    }

    /// Ends an ordered drain. One of an instance that goes, or is not heard of, goes on.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] and [`RosterError::Store`].
    pub fn resume(&self, name: &str, now: Timestamp) -> Result<(), RosterError> {
        let mut told = self.told.lock();
        let mut next = self.current(&mut told);
        next.knows(name)?;
        if let Some(override_) = next.overrides.get_mut(name) {
            override_.drain = None;
        }
        next.settle(name);
        // Also one that was drained past the roster.
        told.drains.entry(name.to_owned()).or_default();
        self.commit(&mut told, next, Initiator::Operator, now).map(|_| ())
    }

    /// An instance puts itself there, for as long as it is heard of at least every `ttl`, or was again before it went. Saying
    /// the same again is as good as a heartbeat, and takes back that it [goes](Self::deregister).
    ///
    /// # Errors
    /// [`RosterError`].
    pub fn register(&self, config: UpstreamConfig, ttl: Duration, now: Timestamp) -> Result<Applied, RosterError> {
        if !(MIN_TTL..=MAX_TTL).contains(&ttl) {
            return Err(RosterError::Ttl);
        }
        config.check()?;
        let name = config.name.clone();
        let registration = Registration::new(config, ttl);
        let mut layers = self.layers.load_full();
        let mut applied = self.unchanged();
        if layers.registered.get(&name) == Some(&registration) {
            self.heard.lock().note(&name, None, now);
        } else {
            let mut told = self.told.lock();
            let mut next = self.current(&mut told);
            next.registered.insert(name.clone(), registration);
            next.settle(&name);
            if next.registered.len() > MAX_UPSTREAMS {
                return Err(ClusterError::TooMany { count: next.registered.len() }.into());
            }
            applied = self.commit(&mut told, next, Initiator::Instance, now)?;
            self.heard.lock().note(&name, None, now);
            layers = self.layers.load_full();
        }
        match layers.knows(&name) {
            Ok(()) => Ok(applied),
            Err(UnknownUpstream { name }) => Err(RosterError::Removed { name }),
        }
    }

    /// An instance goes: at once; or with a `drain`, as soon as nothing is left on it, at the latest when that time is over
    /// and its sessions have left.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] where it is not registered; [`RosterError::Plan`] where it is the last.
    pub fn deregister(&self, name: &str, drain: Option<Duration>, now: Timestamp) -> Result<Applied, RosterError> {
        let mut told = self.told.lock();
        let mut next = self.current(&mut told);
        let registration = next.registered.get_mut(name);
        let registration = registration.ok_or_else(|| UnknownUpstream { name: name.to_owned() })?;
        match drain {
            Some(drain) => registration.leaving = Some(now.after(drain)),
            None => next.unregister(name),
        }
        self.commit(&mut told, next, Initiator::Instance, now)
    }

    /// An instance is there, and says this of itself. It need not be registered to be believed.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] for one that is not there: it should register again. [`RosterError::Removed`] and
    /// [`RosterError::Report`].
    pub fn heartbeat(&self, name: &str, report: InstanceReport, now: Timestamp) -> Result<(), RosterError> {
        report.check()?;
        let mut layers = self.layers.load_full();
        if layers.knows(name).is_err() {
            // It may have been put there past the roster.
            layers = Arc::new(self.current(&mut self.told.lock()));
        }
        let registration = layers.registered.get(name);
        let known = layers.knows(name);
        if registration.is_none() {
            known.clone()?;
        }
        self.heard.lock().note(name, Some(report), now);
        if registration.is_some_and(|registration| registration.silent.is_some()) {
            let mut told = self.told.lock();
            let mut next = self.current(&mut told);
            let registration = next.registered.get_mut(name);
            let registration = registration.ok_or_else(|| UnknownUpstream { name: name.to_owned() })?;
            registration.silent = None;
            self.commit(&mut told, next, Initiator::Instance, now)?;
        }
        known.map_err(|UnknownUpstream { name }| RosterError::Removed { name })
    }

    /// Lets time pass. A registration that was not heard of for its TTL is drained, for as long again; then it goes. Where
    /// it is heard of meanwhile, it takes sessions again. To be called about once a second; of a time when it was not, for
    /// longer than two seconds, nothing is concluded.
    ///
    /// The last upstream never goes, and silence never drains the last that takes sessions.
    ///
    /// # Errors
    /// [`RosterError::Store`]. It is tried again at the next call.
    pub fn tick(&self, now: Timestamp) -> Result<(), RosterError> {
        let expired = || {
            let mut heard = self.heard.lock();
            heard.look(now);
            let cluster = self.balancer.cluster();
            let is_empty = |name: &str| {
                cluster
                    .find_name(name)
                    .map(Member::upstream)
                    .is_none_or(|it| it.in_flight() == 0 && it.live_sessions(now) == 0)
            };
            self.layers.load().expired(now, self.balancer.drain_spread(), |name| heard.seen(name), is_empty)
        };
        if expired().is_none() {
            return Ok(());
        }
        let mut told = self.told.lock();
        // Somebody may have been heard of while the lock was waited for.
        self.adopt(&mut told);
        match expired() {
            Some(next) => self.commit(&mut told, next, Initiator::Expiry, now).map(|_| ()),
            None => Ok(()),
        }
    }

    /// What is known of the upstream of this name, where it is to be in the cluster. Costs a look at three tables.
    #[must_use]
    pub fn about(&self, name: &str) -> Option<UpstreamRecord> {
        let layers = self.layers.load();
        let heard = self.heard.lock();
        let lasting = |it: &Registration| RegistrationLifetime {
            ttl: it.ttl,
            expires: match it.departure() {
                Some(at) => at.after(self.balancer.drain_spread()),
                None => heard.seen(name).after(it.ttl),
            },
        };
        Some(UpstreamRecord {
            origin: layers.origin(name)?,
            registration: layers.registered.get(name).map(lasting),
            report: heard.report(name),
            drain: layers.drain_of(name).map(|until| DrainOverride { until }),
            drained_by: layers.drained_by(name),
        })
    }

    /// What is to be kept from this run to the next.
    #[must_use]
    pub fn state(&self) -> RosterState {
        let layers = self.layers.load();
        RosterState { overrides: layers.overrides.clone(), registered: layers.registered.clone() }
    }

    /// Every event from here on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<RosterEvent> {
        self.told.lock().subscribers.subscribe()
    }
}
