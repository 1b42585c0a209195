//! Builds a balancer from its tables, for the configuration of an engine and of a gateway alike.

use super::{Affinity, Drain, Policy, Rebalance, Upstream};
use crate::affinity::{self, LifetimeError};
use crate::balancer::BalancerBuilder;
use crate::health::{Failover, HealthSettings, Outlier, Probes, Silence, SlowStart};
use crate::{Balancer, KeyRing};
use std::path::Path;
use std::time::Duration;

/// The tables from which a balancer is built.
#[derive(Debug)]
pub struct BalancerTables<'a> {
    /// `[affinity]`.
    pub affinity: &'a Affinity,
    /// `[policy]`.
    pub policy: &'a Policy,
    /// The probes of `[health]`.
    pub probes: Probes,
    /// `health.silence`.
    pub silence: Duration,
    /// `[outlier]`.
    pub outlier: Outlier,
    /// `[slow_start]`.
    pub slow_start: SlowStart,
    /// `[drain]`.
    pub drain: &'a Drain,
    /// `[failover]`.
    pub failover: Failover,
    /// `[rebalance]`.
    pub rebalance: &'a Rebalance,
    /// `[[upstream]]`.
    pub upstreams: &'a [Upstream],
}

impl BalancerTables<'_> {
    /// Thresholds and time constants of health checking, outlier ejection, slow start, draining and failover.
    pub fn health_settings(&self) -> HealthSettings {
        HealthSettings {
            probes: self.probes,
            outlier: self.outlier,
            silence: Silence { after: self.silence, ..Silence::default() },
            slow_start: self.slow_start,
            failover: self.failover,
            drain_spread: self.drain.spread,
        }
    }

    /// A builder of the balancer. `keys` is called with the path of the key file, only if affinity is enabled.
    ///
    /// # Errors
    /// Those of `keys`, and [`LifetimeError`] where the lifetimes contradict each other.
    pub fn balancer<E: From<LifetimeError>>(
        &self,
        keys: impl FnOnce(&Path) -> Result<KeyRing, E>,
    ) -> Result<BalancerBuilder, E> {
        let upstreams = self.upstreams.iter().map(Upstream::to_core);
        let balancer = Balancer::builder()
            .upstreams(upstreams)
            .policy_params(&self.policy.name, self.policy.params())
            .health(self.health_settings())
            .rebalance(affinity::Rebalance { budget_per_minute: self.rebalance.budget });
        if !self.affinity.enabled {
            return Ok(balancer);
        }
        let keys = keys(&self.affinity.keys)?;
        Ok(balancer.affinity(self.affinity.with_keys(keys)?))
    }
}
