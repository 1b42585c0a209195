//! Registrations: how they begin, are renewed, and end.

use super::error::RosterError;
use super::event::Initiator;
use super::handle::{Applied, Roster};
use super::registration::{MAX_TTL, MIN_TTL, Registration};
use super::report::InstanceReport;
use homing::balancer::UnknownUpstream;
use homing::cluster::{ClusterError, MAX_UPSTREAMS, Member, UpstreamConfig};
use homing::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

impl Roster {
    /// Registers an instance, for as long as a heartbeat comes at least every `ttl`. Registering again counts as a
    /// heartbeat, and takes a [deregistration](Self::deregister) back.
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
        let mut membership = self.membership.load_full();
        let mut applied = self.unchanged();
        if membership.registered.get(&name) == Some(&registration) {
            self.heartbeats.lock().record(&name, None, now);
        } else {
            let mut published = self.published.lock();
            let mut next = self.current(&mut published);
            next.registered.insert(name.clone(), registration);
            next.minimize(&name);
            if next.registered.len() > MAX_UPSTREAMS {
                return Err(ClusterError::TooMany { count: next.registered.len() }.into());
            }
            applied = self.commit(&mut published, next, Initiator::Instance, now)?;
            self.heartbeats.lock().record(&name, None, now);
            membership = self.membership.load_full();
        }
        match membership.knows(&name) {
            Ok(()) => Ok(applied),
            Err(UnknownUpstream { name }) => Err(RosterError::Removed { name }),
        }
    }

    /// Ends a registration: at once; or with a `drain`, as soon as the instance has neither sessions nor requests left,
    /// at the latest when that time is over and its sessions have left.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] where it is not registered; [`RosterError::LastUpstream`] where it is that.
    pub fn deregister(&self, name: &str, drain: Option<Duration>, now: Timestamp) -> Result<Applied, RosterError> {
        let mut published = self.published.lock();
        let mut next = self.current(&mut published);
        let registration = next.registered.get_mut(name);
        let registration = registration.ok_or_else(|| UnknownUpstream { name: name.to_owned() })?;
        match drain {
            Some(drain) => registration.leaving = Some(now.after(drain)),
            None => next.unregister(name),
        }
        self.commit(&mut published, next, Initiator::Instance, now)
    }

    /// Takes the report of an instance, which renews its registration, if it has one.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] for an instance that is neither registered nor in the cluster: it has to register
    /// again. [`RosterError::Removed`] and [`RosterError::Report`].
    pub fn heartbeat(&self, name: &str, report: InstanceReport, now: Timestamp) -> Result<(), RosterError> {
        report.check()?;
        let mut membership = self.membership.load_full();
        if membership.knows(name).is_err() {
            // The host may have added it to the balancer without the roster.
            membership = Arc::new(self.current(&mut self.published.lock()));
        }
        let registration = membership.registered.get(name);
        let known = membership.knows(name);
        if registration.is_none() {
            known.clone()?;
        }
        self.heartbeats.lock().record(name, Some(report), now);
        if registration.is_some_and(|registration| registration.silent.is_some()) {
            let mut published = self.published.lock();
            let mut next = self.current(&mut published);
            let registration = next.registered.get_mut(name);
            let registration = registration.ok_or_else(|| UnknownUpstream { name: name.to_owned() })?;
            registration.silent = None;
            self.commit(&mut published, next, Initiator::Instance, now)?;
        }
        known.map_err(|UnknownUpstream { name }| RosterError::Removed { name })
    }

    /// Lets time pass. An instance without a heartbeat for its TTL is drained for a second TTL, then removed; a
    /// heartbeat in between ends the drain. To be called about once a second; a time of more than two seconds without a
    /// call counts for nothing.
    ///
    /// The last upstream is never removed, and silence never drains the last that accepts sessions.
    ///
    /// # Errors
    /// [`RosterError::Store`]. The next call tries again.
    pub fn tick(&self, now: Timestamp) -> Result<(), RosterError> {
        let expired = || {
            let mut heartbeats = self.heartbeats.lock();
            heartbeats.advance(now);
            let cluster = self.balancer.cluster();
            let is_empty = |name: &str| {
                cluster
                    .find_name(name)
                    .map(Member::upstream)
                    .is_none_or(|it| it.in_flight() == 0 && it.live_sessions(now) == 0)
            };
            let last_heartbeat = |name: &str| heartbeats.last(name);
            self.membership.load().expired(now, self.balancer.drain_spread(), last_heartbeat, is_empty)
        };
        if expired().is_none() {
            return Ok(());
        }
        let mut published = self.published.lock();
        // Again, since heartbeats may have come while the lock was waited for.
        self.adopt(&mut published);
        match expired() {
            Some(next) => self.commit(&mut published, next, Initiator::Expiry, now).map(|_| ()),
            None => Ok(()),
        }
    }
}
