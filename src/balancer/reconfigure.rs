//! Other settings for a balancer that runs.

use super::balancer::Balancer;
use super::build_error::BuildError;
use super::builder::BalancerBuilder;
use super::settings::BalancerSettings;
use super::snapshot::{Snapshot, legacy_cookie_table};
use crate::affinity::KeyError;
use crate::cluster::Generation;

/// Why a running balancer refused new settings. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// They are invalid.
    #[error(transparent)]
    Invalid(#[from] BuildError),
    /// Affinity cannot be added or removed: upstream ids and counters depend on it.
    #[error("affinity cannot be turned on or off while the balancer runs: build another")]
    Affinity,
    /// The length of the windows that live sessions are counted in is fixed for an upstream's life.
    #[error("live_window cannot change while the balancer runs: build another")]
    LiveWindow,
    /// The keys are not of the same pool.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl Balancer {
    /// Takes over the settings of `builder`: its policy, affinity, health, failover, slow start, rebalancing and veto,
    /// all of them or none. What was not set on the builder has its default, as in a balancer that is built.
    ///
    /// Upstreams with their state and counters, sessions, leases and drains stay as they are: membership is changed by
    /// [`apply`](Self::apply), and neither the builder's upstreams nor its entropy is used. A drain under way keeps the
    /// spread it began with. A policy of the same name and parameters is rebuilt from the last, where it can be.
    ///
    /// Costs what [`apply`](Self::apply) does; picks continue meanwhile.
    ///
    /// # Errors
    /// [`ReconfigureError`] for what is invalid, or cannot change while the balancer runs.
    pub fn reconfigure(&self, builder: BalancerBuilder) -> Result<Generation, ReconfigureError> {
        let (settings, health_settings) = builder.settings()?;
        let _writer = self.writer.lock();
        let current = self.snapshot.load_full();
        may_follow(&settings, &current.settings)?;
        let cluster = current.cluster.clone();
        let policy = match settings.policy_spec.is(&current.settings.policy_spec) {
            true => current.next_policy(&cluster),
            false => (settings.policy_spec.factory)(&cluster),
        };
        let legacy_cookies = legacy_cookie_table(settings.affinity.as_deref(), &cluster);
        let mut health = self.health.lock();
        health.reconfigure(health_settings);
        self.slow_start.update(settings.slow_start, &cluster, health.now());
        if settings.rebalance.is_none() {
            self.rebalance.end(&cluster);
        }
        let generation = current.generation;
        Ok(self.publish(Snapshot { generation, cluster, policy, legacy_cookies, settings }))
    }
}

/// Whether the ids and counters of upstreams under `before` stay valid under `next`.
fn may_follow(next: &BalancerSettings, before: &BalancerSettings) -> Result<(), ReconfigureError> {
    match (&next.affinity, &before.affinity) {
        (None, None) => Ok(()),
        (Some(next), Some(last)) if !last.keys().same_identity(next.keys()) => {
            Err(ReconfigureError::Keys(KeyError::OtherIdentity))
        }
        (Some(next), Some(last)) if last.live_window() != next.live_window() => Err(ReconfigureError::LiveWindow),
        (Some(_), Some(_)) => Ok(()),
        _ => Err(ReconfigureError::Affinity),
    }
}
