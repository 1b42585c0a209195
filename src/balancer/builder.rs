//! Configures a balancer, and builds its first snapshot.

use super::balancer::Balancer;
use super::build_error::BuildError;
use super::rebalance::{RebalanceSettings, RebalanceState};
use super::settings::{BalancerSettings, PolicySpec};
use super::slow_start::SlowStartState;
use super::snapshot::{Snapshot, build_cluster, legacy_cookie_table};
use crate::affinity::{Affinity, Candidate, Rebalance, Veto};
use crate::cluster::{Cluster, Generation, UpstreamConfig};
use crate::health::{HealthSettings, Monitor};
use crate::policy::{Factory, Params, Policy};
use crate::rng::{Entropy, OsEntropy, SeededEntropy};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;

/// The policy of a balancer that was given none.
const DEFAULT_POLICY: &str = "least_conn";

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
    rebalance: Rebalance,
    veto: Option<Veto>,
    entropy: Option<Box<dyn Entropy>>,
}

impl std::fmt::Debug for BalancerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BalancerBuilder").field("upstreams", &self.upstreams).finish_non_exhaustive()
    }
}

impl Balancer {
    /// Starts a configuration.
    #[must_use]
    pub fn builder() -> BalancerBuilder {
        BalancerBuilder {
            upstreams: Vec::new(),
            policy: PolicyChoice::Named(DEFAULT_POLICY.into(), Params::new()),
            affinity: None,
            health: HealthSettings::default(),
            rebalance: Rebalance::default(),
            veto: None,
            entropy: None,
        }
    }
}

impl BalancerBuilder {
    /// Adds an upstream. A balancer may begin without any, where they are discovered or added later: until then each
    /// pick is [`PickError::Unavailable`](crate::PickError::Unavailable).
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

    /// Places new sessions by the policy of this name; default `least_conn`. See
    /// [`policy::registry`](crate::policy::registry) for the names.
    #[must_use]
    pub fn policy(self, name: impl Into<String>) -> Self {
        self.policy_params(name, Params::new())
    }

    /// Places new sessions by the policy of this name, with parameters. See
    /// [`policy::registry`](crate::policy::registry) for both.
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

    /// Pins sessions to their upstreams by tokens. Without affinity the policy places every request.
    #[must_use]
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = Some(affinity);
        self
    }

    /// Thresholds and time constants of health checking, outlier ejection, slow start and failover; see
    /// [`health`](crate::health).
    #[must_use]
    pub fn health(mut self, settings: HealthSettings) -> Self {
        self.health = settings;
        self
    }

    /// Moves sessions from upstreams that hold more than their share of the [live ones](crate::Upstream::live_sessions)
    /// to those with room, as after a scale-out; off by default. The longest idle move first, at a limited rate, until
    /// each upstream is within 5 % of its share; a session moves forward in its own rendezvous order only. Needs
    /// affinity, and [`tick`](Balancer::tick).
    ///
    /// Every proxy has a budget of its own, and all choose the same sessions. A moved session loses what its upstream
    /// keeps in memory. A request that the same page sends meanwhile with the old token is still served by the old
    /// upstream, and what it changes there is lost too.
    #[must_use]
    pub fn rebalance(mut self, rebalance: Rebalance) -> Self {
        self.rebalance = rebalance;
        self
    }

    /// Asked before a session is [rebalanced](Self::rebalance): where `veto` returns `true` the session stays. Called
    /// within a pick, so it should be quick, and again at each request of a session that stays; and by
    /// [`explain`](Balancer::explain).
    #[must_use]
    pub fn veto(mut self, veto: impl Fn(&Candidate<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.veto = Some(Arc::new(veto));
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
    /// [`BuildError`] where the upstreams are no cluster, the policy or a parameter is unknown, a health setting is out
    /// of its range, or the entropy source fails.
    pub fn build(mut self) -> Result<Balancer, BuildError> {
        let upstreams = std::mem::take(&mut self.upstreams);
        let entropy = self.entropy.take().unwrap_or_else(|| Box::new(OsEntropy));
        let (settings, health) = self.settings()?;
        let affinity = settings.affinity.as_deref();
        let cluster = build_cluster(&upstreams, affinity, None)?;
        let legacy_cookies = legacy_cookie_table(affinity, &cluster);
        let policy = (settings.policy_spec.factory)(&cluster);
        let health = Mutex::new(Monitor::new(health, &cluster));
        let waiters = Arc::clone(cluster.waiters());
        let snapshot = Snapshot { generation: Generation(1), cluster, policy, legacy_cookies, settings };
        Ok(Balancer {
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: Mutex::new(()),
            health,
            slow_start: SlowStartState::default(),
            rebalance: RebalanceState::default(),
            seeded: SeededEntropy::new(entropy.next()?),
            entropy,
            waiters,
        })
    }

    /// The settings besides upstreams and entropy, checked.
    pub(super) fn settings(self) -> Result<(BalancerSettings, HealthSettings), BuildError> {
        self.health.check()?;
        let policy_spec = match self.policy {
            PolicyChoice::Named(name, params) => PolicySpec::named(name, params)?,
            PolicyChoice::Custom(factory) => PolicySpec::custom(factory),
        };
        let rebalance = RebalanceSettings::new(self.rebalance, self.veto);
        let HealthSettings { failover, slow_start, .. } = self.health;
        let settings = BalancerSettings::new(policy_spec, self.affinity, failover, slow_start, rebalance);
        Ok((settings, self.health))
    }
}
