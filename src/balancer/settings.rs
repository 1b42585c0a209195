//! The settings of a balancer besides its upstreams. They may change while it runs: see `reconfigure.rs`.

use super::build_error::BuildError;
use super::rebalance::RebalanceSettings;
use crate::affinity::Affinity;
use crate::cluster::Quota;
use crate::health::{Failover, SlowStart};
use crate::policy::{self, Factory, Params};
use std::sync::Arc;

/// The part of a snapshot that outlives the cluster it was made for.
#[derive(Clone)]
pub(super) struct BalancerSettings {
    pub(super) affinity: Option<Arc<Affinity>>,
    pub(super) policy_spec: PolicySpec,
    pub(super) failover: Failover,
    /// The rate at which an upstream admits displaced sessions; `None` is no limit.
    pub(super) admission: Option<Quota>,
    pub(super) slow_start: SlowStart,
    pub(super) rebalance: Option<RebalanceSettings>,
}

impl BalancerSettings {
    pub(super) fn new(
        policy_spec: PolicySpec,
        affinity: Option<Affinity>,
        failover: Failover,
        slow_start: SlowStart,
        rebalance: Option<RebalanceSettings>,
    ) -> Self {
        let affinity = affinity.map(Arc::new);
        Self { affinity, policy_spec, failover, admission: admission(failover), slow_start, rebalance }
    }
}

/// The quota of displaced sessions, in microseconds, with a burst of a quarter of a second's worth.
fn admission(failover: Failover) -> Option<Quota> {
    let rate = u64::from(failover.rate);
    let interval = 1_000_000_u64.checked_div(rate)?;
    Some(Quota { interval, burst_tolerance: interval * (rate / 4).saturating_sub(1) })
}

/// How the policy of each cluster is made.
#[derive(Clone)]
pub(super) struct PolicySpec {
    pub(super) name: Arc<str>,
    /// `None` for a policy of the host's own, which cannot be compared with another.
    params: Option<Params>,
    pub(super) factory: Factory,
}

impl PolicySpec {
    /// A policy of the registry.
    pub(super) fn named(name: String, params: Params) -> Result<Self, BuildError> {
        let entry = policy::find(&name)?;
        let factory = entry.configure(params.clone())?;
        Ok(Self { name: name.into(), params: Some(params), factory })
    }

    /// A policy of the host's own.
    pub(super) fn custom(factory: Factory) -> Self {
        Self { name: "custom".into(), params: None, factory }
    }

    /// Whether both make the same policy, so that one can be rebuilt from the other.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.params.is_some() && (&self.name, &self.params) == (&other.name, &other.params)
    }
}
