//! From the next layers to the store, the balancer, and the subscribers.

use super::error::RosterError;
use super::event::{Initiator, RosterChange, RosterEvent};
use super::handle::{Applied, Published, Roster, configs};
use super::membership::Membership;
use super::store;
use homing::cluster::{ApplyError, Plan, UpstreamConfig};
use homing::time::Timestamp;
use std::sync::Arc;

/// How often a change is planned again because the balancer was changed meanwhile without the roster.
const TRIES: usize = 16;

impl Roster {
    /// The layers to begin a change with.
    pub(super) fn current(&self, published: &mut Published) -> Membership {
        self.adopt(published);
        Membership::clone(&self.membership.load())
    }

    /// Takes over what the host changed in the balancer without the roster.
    pub(super) fn adopt(&self, published: &mut Published) {
        let upstreams = configs(&self.balancer.cluster());
        if upstreams != published.upstreams {
            let mut membership = Membership::clone(&self.membership.load());
            if membership.adopt(&published.upstreams, &upstreams).is_ok() {
                self.membership.store(Arc::new(membership));
                published.upstreams = upstreams;
            }
        }
    }

    /// Saves what `next` changes, and puts it in force.
    pub(super) fn commit(
        &self,
        published: &mut Published,
        next: Membership,
        by: Initiator,
        now: Timestamp,
    ) -> Result<Applied, RosterError> {
        let wanted = next.wanted_all();
        // Planned before it is saved: what makes no cluster must not be saved.
        let plan = self.plan_from(published, &wanted)?;
        let (last, next) = (Arc::clone(&published.stored), Arc::new(next));
        store::save(&*self.store, &last, &next)?;
        published.stored = Arc::clone(&next);
        match self.apply(plan, &wanted) {
            Ok(applied) => Ok(self.publish(published, next, wanted, applied, by, now)),
            Err(error) => {
                store::save(&*self.store, &next, &last)?;
                published.stored = last;
                Err(error)
            }
        }
    }

    /// Puts `next` in force, where the store has `stored` already.
    pub(super) fn follow(
        &self,
        published: &mut Published,
        stored: Arc<Membership>,
        next: Membership,
        now: Timestamp,
    ) -> Result<Applied, RosterError> {
        let wanted = next.wanted_all();
        let applied = self.apply(self.plan_from(published, &wanted)?, &wanted)?;
        published.stored = stored;
        Ok(self.publish(published, Arc::new(next), wanted, applied, Initiator::Overrides, now))
    }

    /// Makes `next` the current layers, whose cluster was just applied; begins and ends drains, and notifies
    /// subscribers.
    fn publish(
        &self,
        published: &mut Published,
        next: Arc<Membership>,
        upstreams: Vec<UpstreamConfig>,
        applied: Applied,
        by: Initiator,
        now: Timestamp,
    ) -> Applied {
        let drains = next.drains();
        self.heartbeats.lock().retain(|name| next.registered.contains_key(name) || next.wanted(name).is_some());
        self.membership.store(next);
        published.upstreams = upstreams;
        let generation = applied.generation;
        let mut notify = |kind| published.subscribers.send(&RosterEvent { at: now, by, generation, kind });
        if applied.generation != applied.from {
            notify(RosterChange::Applied(applied.effects.clone()));
        }
        let before = std::mem::take(&mut published.drains);
        for (name, until) in drains.iter().filter(|(name, until)| before.get(*name) != Some(until)) {
            let within = until.map(|until| until.since(now));
            if self.balancer.drain(name, within, now).is_ok() {
                notify(RosterChange::Draining { name: name.clone(), within });
            }
        }
        for name in before.into_keys().filter(|name| !drains.contains_key(name)) {
            // It fails for an upstream that was removed.
            if self.balancer.resume(&name, now).is_ok() {
                notify(RosterChange::Resumed { name });
            }
        }
        published.drains = drains;
        applied
    }

    /// Applies the plan for these upstreams, if one is needed.
    fn apply(&self, plan: Option<Plan>, wanted: &[UpstreamConfig]) -> Result<Applied, RosterError> {
        let Some(mut plan) = plan else { return Ok(self.unchanged()) };
        let mut tries = 0;
        loop {
            tries += 1;
            let (from, effects) = (plan.base(), plan.effects().to_vec());
            match self.balancer.apply(plan) {
                Ok(generation) => return Ok(Applied { from, generation, effects }),
                // Another change of the balancer came first, such as a key rotation.
                Err(ApplyError::Stale { .. }) if tries < TRIES => plan = self.plan_to(wanted)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn unchanged(&self) -> Applied {
        let generation = self.balancer.generation();
        Applied { from: generation, generation, effects: Vec::new() }
    }

    fn plan_from(&self, published: &Published, wanted: &[UpstreamConfig]) -> Result<Option<Plan>, RosterError> {
        (published.upstreams != wanted).then(|| self.plan_to(wanted)).transpose()
    }

    /// The plan for these upstreams, unless it would remove the last one.
    pub(super) fn plan_to(&self, wanted: &[UpstreamConfig]) -> Result<Plan, RosterError> {
        if wanted.is_empty() && !self.balancer.cluster().is_empty() {
            return Err(RosterError::LastUpstream);
        }
        Ok(self.balancer.plan_to(wanted)?)
    }
}
