//! Changes of the base and of overrides.

use super::error::RosterError;
use super::event::Initiator;
use super::handle::{Applied, Roster};
use super::membership::Base;
use super::overrides::{DrainOverride, Overrides};
use super::state::RosterState;
use homing::cluster::{ApplyError, Change, Generation, Plan, UpstreamConfig};
use homing::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

impl Roster {
    /// Restores what an earlier run of the process saved. The TTLs of registrations begin at `now`. Nothing is saved.
    ///
    /// # Errors
    /// [`RosterError::Plan`] where the result is no cluster, [`RosterError::LastUpstream`] where overrides remove every
    /// upstream.
    pub fn restore(&self, state: RosterState, now: Timestamp) -> Result<Applied, RosterError> {
        let mut published = self.published.lock();
        let mut next = self.current(&mut published);
        let RosterState { overrides, registered } = state;
        (next.overrides, next.registered) = (overrides, registered);
        {
            let mut heartbeats = self.heartbeats.lock();
            next.registered.keys().for_each(|name| heartbeats.record(name, None, now));
        }
        let stored = Arc::new(next.clone());
        // With discovery an upstream that is missing now may be found soon, and its override stays.
        if !next.base.is_discovered {
            next.minimize_all();
        }
        self.follow(&mut published, stored, next, now)
    }

    /// Makes these upstreams, of a configuration, the base. Overrides that equal it are dropped, and so are those that
    /// concern names no layer has any more.
    ///
    /// # Errors
    /// [`RosterError`], such as where the result is no cluster, or where no layer has an upstream any more.
    pub fn set_base(&self, base: Vec<UpstreamConfig>, now: Timestamp) -> Result<Applied, RosterError> {
        let mut published = self.published.lock();
        let mut next = self.current(&mut published);
        next.base = Arc::new(Base::new(base, false)?);
        next.minimize_all();
        self.commit(&mut published, next, Initiator::Configuration, now)
    }

    /// Makes these upstreams, of a discovery source, the base. All overrides stay: an upstream that a source lost it
    /// may find again.
    ///
    /// # Errors
    /// As of [`set_base`](Self::set_base).
    pub fn set_discovered(&self, base: Vec<UpstreamConfig>, now: Timestamp) -> Result<Applied, RosterError> {
        let mut published = self.published.lock();
        let mut next = self.current(&mut published);
        next.base = Arc::new(Base::new(base, true)?);
        self.commit(&mut published, next, Initiator::Discovery, now)
    }

    /// Replaces all overrides with those of the store, such as where another gateway changed them. Nothing is saved or
    /// dropped.
    ///
    /// # Errors
    /// [`RosterError::Plan`] where the result is no cluster.
    pub fn set_overrides(&self, overrides: Overrides, now: Timestamp) -> Result<Applied, RosterError> {
        let mut published = self.published.lock();
        let mut next = self.current(&mut published);
        next.overrides = overrides;
        self.follow(&mut published, Arc::new(next.clone()), next, now)
    }

    /// Works out what an operator's changes would do, and makes none.
    ///
    /// # Errors
    /// [`RosterError::Plan`] and [`RosterError::LastUpstream`].
    pub fn plan(&self, changes: &[Change]) -> Result<Plan, RosterError> {
        let mut published = self.published.lock();
        let mut next = self.current(&mut published);
        changes.iter().try_for_each(|change| next.change(change))?;
        drop(published);
        self.plan_to(&next.wanted_all())
    }

    /// Makes an operator's changes: all, or none where the generation is not the `expected` one. They are saved before
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
        let mut published = self.published.lock();
        let current = self.balancer.generation();
        // Before the changes are tried: those of another generation may be wrong for this one.
        if let Some(planned) = expected.filter(|expected| *expected != current) {
            return Err(ApplyError::Stale { planned, current }.into());
        }
        let mut next = self.current(&mut published);
        changes.iter().try_for_each(|change| next.change(change))?;
        self.commit(&mut published, next, Initiator::Operator, now)
    }

    /// Begins a [drain](homing::Balancer::drain) by override, with a `deadline` from `now` on, which is saved as
    /// wall-clock time.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] and [`RosterError::Store`].
    pub fn drain(&self, name: &str, deadline: Option<Duration>, now: Timestamp) -> Result<(), RosterError> {
        let mut published = self.published.lock();
        let mut next = self.current(&mut published);
        next.knows(name)?;
        let until = deadline.map(|deadline| now.after(deadline));
        next.overrides.entry(name.to_owned()).or_default().drain = Some(DrainOverride { until });
        self.commit(&mut published, next, Initiator::Operator, now).map(|_| ())
    }

    /// Ends a drain by override. One of an instance that has deregistered, or is silent, goes on.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] and [`RosterError::Store`].
    pub fn resume(&self, name: &str, now: Timestamp) -> Result<(), RosterError> {
        let mut published = self.published.lock();
        let mut next = self.current(&mut published);
        next.knows(name)?;
        if let Some(override_) = next.overrides.get_mut(name) {
            override_.drain = None;
        }
        next.minimize(name);
        // A drain that the host began without the roster ends as well.
        published.drains.entry(name.to_owned()).or_default();
        self.commit(&mut published, next, Initiator::Operator, now).map(|_| ())
    }
}
