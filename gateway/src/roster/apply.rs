//! From the next layers to what others are told: the store, the balancer, and those who watch.

use super::event::{Initiator, RosterChange, RosterEvent};
use super::membership::Membership;
use super::{Applied, Roster, RosterError, store};
use homing::cluster::{ApplyError, Cluster, Member, Plan, PlanError, UpstreamConfig};
use homing::health::Subscribers;
use homing::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a change is planned again because somebody changed the balancer past the roster.
const TRIES: usize = 16;

/// What others were told last: the balancer, and the store.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) upstreams: Vec<UpstreamConfig>,
    pub(super) drains: BTreeMap<String, Option<Timestamp>>,
    /// What the store was told last, or had told.
    pub(super) kept: Arc<Membership>,
    pub(super) subscribers: Subscribers<RosterEvent>,
}

impl Roster {
    /// The layers to begin a change with.
    pub(super) fn current(&self, told: &mut Published) -> Membership {
        self.adopt(told);
        Membership::clone(&self.layers.load())
    }

    /// Where somebody changed the balancer past the roster, what they say counts.
    pub(super) fn adopt(&self, told: &mut Published) {
        let upstreams = configs(&self.balancer.cluster());
        if upstreams != told.upstreams {
            let mut layers = Membership::clone(&self.layers.load());
            if layers.adopt(&told.upstreams, &upstreams).is_ok() {
                self.layers.store(Arc::new(layers));
                told.upstreams = upstreams;
            }
        }
    }

    /// Stores what `next` has anew, and makes it so.
    pub(super) fn commit(
        &self,
        told: &mut Published,
        next: Membership,
        by: Initiator,
        now: Timestamp,
    ) -> Result<Applied, RosterError> {
        let wanted = next.wanted_all();
        // First, since what is no cluster is not to be stored.
        let plan = self.plan_from(told, &wanted)?;
        let (last, next) = (Arc::clone(&told.kept), Arc::new(next));
        store::save(&*self.store, &last, &next)?;
        told.kept = Arc::clone(&next);
        match self.apply(plan, &wanted) {
            Ok(applied) => Ok(self.take(told, next, wanted, applied, by, now)),
            Err(error) => {
                store::save(&*self.store, &next, &last)?;
                told.kept = last;
                Err(error)
            }
        }
    }

    /// Makes it so, of what the store has `kept`.
    pub(super) fn follow(
        &self,
        told: &mut Published,
        kept: Arc<Membership>,
        next: Membership,
        now: Timestamp,
    ) -> Result<Applied, RosterError> {
        let wanted = next.wanted_all();
        let applied = self.apply(self.plan_from(told, &wanted)?, &wanted)?;
        told.kept = kept;
        Ok(self.take(told, Arc::new(next), wanted, applied, Initiator::Overrides, now))
    }

    /// Goes by `next`, which the balancer has for members already, and tells those who watch.
    fn take(
        &self,
        told: &mut Published,
        next: Arc<Membership>,
        upstreams: Vec<UpstreamConfig>,
        applied: Applied,
        by: Initiator,
        now: Timestamp,
    ) -> Applied {
        let drains = next.drains();
        self.heard.lock().retain(|name| next.registered.contains_key(name) || next.wanted(name).is_some());
        self.layers.store(next);
        told.upstreams = upstreams;
        let generation = applied.generation;
        let mut tell = |kind| told.subscribers.send(&RosterEvent { at: now, by, generation, kind });
        if applied.generation != applied.from {
            tell(RosterChange::Applied(applied.effects.clone()));
        }
        let before = std::mem::take(&mut told.drains);
        for (name, until) in drains.iter().filter(|(name, until)| before.get(*name) != Some(until)) {
            let within = until.map(|until| until.since(now));
            if self.balancer.drain(name, within, now).is_ok() {
                tell(RosterChange::Draining { name: name.clone(), within });
            }
        }
        for name in before.into_keys().filter(|name| !drains.contains_key(name)) {
            // One that has gone has nothing to resume.
            if self.balancer.resume(&name, now).is_ok() {
                tell(RosterChange::Resumed { name });
            }
        }
        told.drains = drains;
        applied
    }

    /// Applies the plan for these upstreams, if there is need of one.
    fn apply(&self, plan: Option<Plan>, wanted: &[UpstreamConfig]) -> Result<Applied, RosterError> {
        let Some(mut plan) = plan else { return Ok(self.unchanged()) };
        let mut tries = 0;
        loop {
            tries += 1;
            let (from, effects) = (plan.base(), plan.effects().to_vec());
            match self.balancer.apply(plan) {
                Ok(generation) => return Ok(Applied { from, generation, effects }),
                // The keys were rotated, say.
                Err(ApplyError::Stale { .. }) if tries < TRIES => plan = self.plan_for(wanted)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn unchanged(&self) -> Applied {
        let generation = self.balancer.generation();
        Applied { from: generation, generation, effects: Vec::new() }
    }

    fn plan_from(&self, told: &Published, wanted: &[UpstreamConfig]) -> Result<Option<Plan>, PlanError> {
        (told.upstreams != wanted).then(|| self.plan_for(wanted)).transpose()
    }

    /// A plan for exactly these upstreams in this order.
    pub(super) fn plan_for(&self, wanted: &[UpstreamConfig]) -> Result<Plan, PlanError> {
        self.balancer.plan_to(wanted)
    }
}

pub(super) fn configs(cluster: &Cluster) -> Vec<UpstreamConfig> {
    cluster.members().iter().map(Member::config).collect()
}
