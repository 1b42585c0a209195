//! What a balancer goes by, besides its upstreams: what its operator has said, and may say anew while it runs.

use super::builder::{BuildError, PolicyChoice};
use super::place::admission;
use super::rebalance::Relief;
use super::{Balancer, BalancerBuilder, Snapshot, incumbent_table};
use crate::affinity::{Affinity, KeyError};
use crate::cluster::{Generation, Pace};
use crate::health::{Failover, SlowStart};
use crate::policy::{self, Factory, Params};
use std::sync::Arc;

/// The part of a snapshot that outlives the cluster it was made for.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) affinity: Option<Arc<Affinity>>,
    pub(super) placing: Placing,
    pub(super) failover: Failover,
    /// At which pace an upstream takes displaced sessions.
    pub(super) admission: Option<Pace>,
    pub(super) slow_start: SlowStart,
    pub(super) relief: Option<Relief>,
}

/// How policies are made.
#[derive(Clone)]
pub(super) struct Placing {
    pub(super) name: Arc<str>,
    /// `None` of a policy of the host's own, which might be any.
    params: Option<Params>,
    pub(super) factory: Factory,
}

impl Placing {
    pub(super) fn new(choice: PolicyChoice) -> Result<Self, BuildError> {
        Ok(match choice {
            PolicyChoice::Named(name, params) => {
                let factory = policy::find(&name)?.configure(params.clone())?;
                Self { name: name.into(), params: Some(params), factory }
            }
            PolicyChoice::Custom(factory) => Self { name: "custom".into(), params: None, factory },
        })
    }

    /// Whether its policies are made as those of `other`, so that one may be made from another.
    fn is(&self, other: &Self) -> bool {
        self.params.is_some() && (&self.name, &self.params) == (&other.name, &other.params)
    }
}

impl Rules {
    pub(super) fn new(
        policy: PolicyChoice,
        affinity: Option<Affinity>,
        (failover, slow_start): (Failover, SlowStart),
        relief: Option<Relief>,
    ) -> Result<Self, BuildError> {
        let (placing, affinity) = (Placing::new(policy)?, affinity.map(Arc::new));
        Ok(Self { affinity, placing, failover, admission: admission(failover), slow_start, relief })
    }

    /// Whether upstreams that were counted by `before` can go on to be counted by these.
    fn may_follow(&self, before: &Self) -> Result<(), ReconfigureError> {
        match (&self.affinity, &before.affinity) {
            (None, None) => Ok(()),
            (Some(next), Some(last)) if !last.keys().same_identity(next.keys()) => {
                Err(ReconfigureError::Keys(KeyError::OtherIdentity))
            }
            (Some(next), Some(last)) if last.live_window() != next.live_window() => Err(ReconfigureError::LiveWindow),
            (Some(_), Some(_)) => Ok(()),
            _ => Err(ReconfigureError::Affinity),
        }
    }
}

/// Why a running balancer did not take over new settings. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReconfigureError {
    /// They make no sense.
    #[error(transparent)]
    Invalid(#[from] BuildError),
    /// Affinity cannot come or go: upstreams are named and counted by it.
    #[error("affinity cannot be turned on or off while the balancer runs: build another")]
    Affinity,
    /// Live sessions are counted in windows whose length is the upstream's for life.
    #[error("live_window cannot change while the balancer runs: build another")]
    LiveWindow,
    /// The keys are not of the same pool.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl Balancer {
    /// Takes over the settings of `builder`: its policy, affinity, health, failover, slow start, rebalancing and veto, all
    /// of them or none. What the builder was not told has its default, as in a balancer that is built.
    ///
    /// Upstreams, and all that is known and counted of them, stay as they are, and so do sessions, leases and drains:
    /// membership is changed by [`apply`](Self::apply), and neither the builder's upstreams nor its entropy is looked at.
    /// A drain that runs keeps the pace it began with. A policy of the same name and parameters is made from the last, where it
    /// knows how.
    ///
    /// Costs what [`apply`](Self::apply) does; picks go on meanwhile.
    ///
    /// # Errors
    /// [`ReconfigureError`] for what makes no sense, or cannot change while the balancer runs.
    pub fn reconfigure(&self, builder: BalancerBuilder) -> Result<Generation, ReconfigureError> {
        let (rules, settings) = builder.rules()?;
        let _writer = self.writer.lock();
        let current = self.snapshot.load_full();
        rules.may_follow(&current.rules)?;
        let cluster = current.cluster.clone();
        let policy = match rules.placing.is(&current.rules.placing) {
            true => current.next_policy(&cluster),
            false => (rules.placing.factory)(&cluster),
        };
        let incumbents = incumbent_table(rules.affinity.as_deref(), &cluster);
        let mut health = self.health.lock();
        health.reconfigure(settings);
        self.warm(rules.slow_start, &cluster, health.now());
        if rules.relief.is_none() {
            self.rebalancing.end(&cluster);
        }
        let generation = current.generation;
        Ok(self.publish(Snapshot { generation, cluster, policy, incumbents, rules }))
    }
}
