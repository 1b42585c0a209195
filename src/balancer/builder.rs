//! How a balancer is configured, and why a configuration may be refused.

use super::place::admission;
use super::{Balancer, Snapshot, build_cluster};
use crate::affinity::Affinity;
use crate::cluster::{Cluster, ClusterError, Generation, UpstreamConfig};
use crate::health::{HealthSettings, HealthSettingsError, Monitor};
use crate::policy::{self, Factory, ParamError, Params, Policy, UnknownPolicy};
use crate::rng::{Entropy, EntropyError, OsEntropy, SeededEntropy};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;

/// The policy of a balancer that was given none.
const DEFAULT_POLICY: &str = "least_conn";

/// Why a balancer could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The upstreams are no cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The policy's name is unknown.
    #[error(transparent)]
    Policy(#[from] UnknownPolicy),
    /// The policy refuses its parameters.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A setting of health makes no sense.
    #[error(transparent)]
    Health(#[from] HealthSettingsError),
    /// No randomness to start from.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

enum PolicyChoice {
    Named(String, Params),
    Custom(Factory),
}

/// Configures a [`Balancer`].
pub struct BalancerBuilder {
    upstreams: Vec<UpstreamConfig>,
    policy: PolicyChoice,
    affinity: Option<Affinity>,
    health: HealthSettings,
    entropy: Option<Box<dyn Entropy>>,
}

impl std::fmt::Debug for BalancerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BalancerBuilder").field("upstreams", &self.upstreams).finish_non_exhaustive()
    }
}

impl BalancerBuilder {
    pub(super) fn new() -> Self {
        Self {
            upstreams: Vec::new(),
            policy: PolicyChoice::Named(DEFAULT_POLICY.into(), Params::new()),
            affinity: None,
            health: HealthSettings::default(),
            entropy: None,
        }
    }

    /// Adds an upstream.
    #[must_use]
    pub fn upstream(mut self, upstream: UpstreamConfig) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// Adds upstreams.
    #[must_use]
    pub fn upstreams(mut self, upstreams: impl IntoIterator<Item = UpstreamConfig>) -> Self {
        self.upstreams.extend(upstreams);
        self
    }

    /// Places new sessions by the policy of this name; `least_conn` unless said otherwise. See
    /// [`policy::registry`] for the names.
    #[must_use]
    pub fn policy(self, name: impl Into<String>) -> Self {
        self.policy_params(name, Params::new())
    }

    /// Places new sessions by the policy of this name, with parameters. See [`policy::registry`] for both.
    #[must_use]
    pub fn policy_params(mut self, name: impl Into<String>, params: Params) -> Self {
        self.policy = PolicyChoice::Named(name.into(), params);
        self
    }

    /// Places new sessions by a policy of your own, built for each cluster.
    #[must_use]
    pub fn policy_with(mut self, build: impl Fn(&Cluster) -> Box<dyn Policy> + Send + Sync + 'static) -> Self {
        self.policy = PolicyChoice::Custom(Arc::new(build));
        self
    }

    /// Brings known sessions back by tokens. Without it every request is placed by the policy.
    #[must_use]
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = Some(affinity);
        self
    }

    /// How quickly what is believed of upstreams; see [`health`](crate::health).
    #[must_use]
    pub fn health(mut self, settings: HealthSettings) -> Self {
        self.health = settings;
        self
    }

    /// Draws from this source instead of the operating system: for tests and simulations that must repeat.
    #[must_use]
    pub fn entropy(mut self, entropy: impl Entropy + 'static) -> Self {
        self.entropy = Some(Box::new(entropy));
        self
    }

    /// Checks the configuration and builds the first snapshot.
    ///
    /// # Errors
    /// [`BuildError`] where the upstreams are no cluster, the policy or a parameter is unknown, a setting of health makes no sense, or
    /// there is no randomness.
    pub fn build(self) -> Result<Balancer, BuildError> {
        let (policy_name, factory) = match self.policy {
            PolicyChoice::Named(name, params) => {
                let factory = policy::find(&name)?.configure(params)?;
                (name, factory)
            }
            PolicyChoice::Custom(factory) => ("custom".to_owned(), factory),
        };
        self.health.check()?;
        let entropy = self.entropy.unwrap_or_else(|| Box::new(OsEntropy));
        let affinity = self.affinity.map(Arc::new);
        let cluster = build_cluster(&self.upstreams, affinity.as_deref(), None)?;
        let policy = factory(&cluster);
        let health = Mutex::new(Monitor::new(self.health, &cluster));
        let snapshot = Snapshot { generation: Generation(1), cluster, policy, affinity };
        Ok(Balancer {
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: Mutex::new(()),
            health,
            failover: self.health.failover,
            admission: admission(self.health.failover),
            factory,
            policy_name: policy_name.into(),
            dice: SeededEntropy::new(entropy.next()?),
            entropy,
        })
    }
}
