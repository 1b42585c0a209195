//! Everything a pick reads, behind one pointer.

use super::settings::BalancerSettings;
use crate::affinity::{Affinity, LegacyCookieTable};
use crate::cluster::{ApplyError, Cluster, ClusterError, Generation, Plan, UpstreamConfig, UpstreamId};
use crate::policy::Policy;
use std::sync::Arc;

/// Everything a pick reads, behind one pointer, so that its parts never disagree.
pub(super) struct Snapshot {
    pub(super) generation: Generation,
    pub(super) cluster: Cluster,
    pub(super) policy: Box<dyn Policy>,
    /// `None` where no legacy cookie is accepted.
    pub(super) legacy_cookies: Option<Arc<LegacyCookieTable>>,
    pub(super) settings: BalancerSettings,
}

impl Snapshot {
    /// Whether `plan` was made against this snapshot.
    pub(super) fn is_base_of(&self, plan: &Plan) -> Result<(), ApplyError> {
        match self.generation == plan.base {
            true => Ok(()),
            false => Err(ApplyError::Stale { planned: plan.base, current: self.generation }),
        }
    }

    /// The policy for `cluster`, built from the one in force where that policy can.
    pub(super) fn next_policy(&self, cluster: &Cluster) -> Box<dyn Policy> {
        self.policy.rebuilt(cluster).unwrap_or_else(|| (self.settings.policy_spec.factory)(cluster))
    }
}

/// The cluster of `configs`, with the upstream ids of the pool's key where there is affinity, reusing what `old` has.
pub(super) fn build_cluster(
    configs: &[UpstreamConfig],
    affinity: Option<&Affinity>,
    old: Option<&Cluster>,
) -> Result<Cluster, ClusterError> {
    match affinity {
        Some(affinity) => {
            Cluster::build(configs, |name| affinity.keys().upstream_id(name), Some(affinity.live_window()), old)
        }
        None => Cluster::build(configs, UpstreamId::unkeyed, None, old),
    }
}

/// What legacy cookies mean in this cluster; `None` where none are accepted.
pub(super) fn legacy_cookie_table(affinity: Option<&Affinity>, cluster: &Cluster) -> Option<Arc<LegacyCookieTable>> {
    LegacyCookieTable::new(affinity?.accepted(), cluster).map(Arc::new)
}

/// The cluster of one moment. Dereferences to [`Cluster`].
pub struct ClusterRef(pub(super) Arc<Snapshot>);

impl std::ops::Deref for ClusterRef {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0.cluster
    }
}

impl std::fmt::Debug for ClusterRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.cluster.fmt(f)
    }
}
