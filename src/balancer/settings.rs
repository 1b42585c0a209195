//! What a balancer goes by, besides its upstreams: what its operator has said, and may say anew while it runs.

use super::builder::{BuildError, PolicyChoice};
use super::place::admission;
use super::rebalance::RebalanceSettings;
use super::{Balancer, BalancerBuilder, Snapshot, legacy_cookie_table};
use crate::affinity::{Affinity, KeyError};
use crate::cluster::{Generation, Quota};
use crate::health::{Failover, SlowStart};
use crate::policy::{self, Factory, Params};
use std::sync::Arc;

/// The part of a snapshot that outlives the cluster it was made for.
#[derive(Clone)]
pub(super) struct BalancerSettings {
    pub(super) affinity: Option<Arc<Affinity>>,
    pub(super) policy_spec: PolicySpec,
    pub(super) failover: Failover,
    /// At which pace an upstream takes displaced sessions.
    pub(super) admission: Option<Quota>,
    pub(super) slow_start: SlowStart,
    pub(super) rebalance: Option<RebalanceSettings>,
}

/// How policies are made.
#[derive(Clone)]
pub(super) struct PolicySpec {
    pub(super) name: Arc<str>,
    /// `None` of a policy of the host's own, which might be any.
    params: Option<Params>,
    pub(super) factory: Factory,
}

impl PolicySpec {
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

impl BalancerSettings {
    pub(super) fn new(
        policy: PolicyChoice,
        affinity: Option<Affinity>,
        (failover, slow_start): (Failover, SlowStart),
        rebalance: Option<RebalanceSettings>,
    ) -> Result<Self, BuildError> {
        let (policy_spec, affinity) = (PolicySpec::new(policy)?, affinity.map(Arc::new));
        Ok(Self { affinity, policy_spec, failover, admission: admission(failover), slow_start, rebalance })
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
        let (settings, health_settings) = builder.settings()?;
        let _writer = self.writer.lock();
        let current = self.snapshot.load_full();
        settings.may_follow(&current.settings)?;
        let cluster = current.cluster.clone();
        let policy = match settings.policy_spec.is(&current.settings.policy_spec) {
            true => current.next_policy(&cluster),
            false => (settings.policy_spec.factory)(&cluster),
        };
        let legacy_cookies = legacy_cookie_table(settings.affinity.as_deref(), &cluster);
        let mut health = self.health.lock();
        health.reconfigure(health_settings);
        self.update_slow_start(settings.slow_start, &cluster, health.now());
        if settings.rebalance.is_none() {
            self.rebalance_state.end(&cluster);
        }
        let generation = current.generation;
        Ok(self.publish(Snapshot { generation, cluster, policy, legacy_cookies, settings }))
    }
}
