//! The balancer: picks made from one snapshot, and the changes that replace it.

use super::pick::{Pick, PickError};
use super::pinned::pinned_upstream;
use super::place;
use super::rebalance::RebalanceState;
use super::request::Request;
use super::settings::BalancerSettings;
use super::slow_start::SlowStartState;
use super::snapshot::{ClusterRef, Snapshot, build_cluster, legacy_cookie_table};
use super::view::Opened;
use crate::affinity::{Affinity, Claims, KeyError, KeyRing, Token};
use crate::cluster::{
    self, ApplyError, Change, Decision, Generation, Lease, Member, PinLoss, Plan, PlanError, Upstream, UpstreamConfig,
    UpstreamId, Waiters,
};
use crate::health::Monitor;
use crate::rng::{Entropy, EntropyError, SeededEntropy};
use crate::time::Timestamp;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;

/// Picks an upstream for each request. Shared by all threads; see the [crate's example](crate#example).
pub struct Balancer {
    pub(super) snapshot: ArcSwap<Snapshot>,
    pub(super) writer: Mutex<()>,
    /// Lock order: `writer` before `health`.
    pub(super) health: Mutex<Monitor>,
    pub(super) slow_start: SlowStartState,
    pub(super) rebalance: RebalanceState,
    pub(super) entropy: Box<dyn Entropy>,
    /// For requests without affinity, whose ids need to be random but not unique in the world.
    pub(super) seeded: SeededEntropy,
    /// Those of every cluster of this balancer.
    pub(super) waiters: Arc<Waiters>,
}

impl std::fmt::Debug for Balancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let snapshot = self.snapshot.load();
        f.debug_struct("Balancer")
            .field("generation", &snapshot.generation)
            .field("upstreams", &snapshot.cluster.len())
            .field("policy", &snapshot.policy)
            .finish_non_exhaustive()
    }
}

impl Balancer {
    /// Decides where a request goes, and takes a place there.
    ///
    /// Takes no lock and allocates nothing, except a thread's slots at its first pick. Costs one snapshot load and one
    /// lease; with a token one HMAC-SHA256; without one what the policy costs, and for a new session one call of
    /// [`Entropy::next`] and one HMAC; with [legacy cookies](Request::legacy_cookies) one table lookup each. A pick
    /// that was under way during a change may be the one to free the old snapshot.
    ///
    /// # Errors
    /// [`PickError`] where no upstream can take the request. No count was changed then.
    pub fn pick(&self, request: &Request<'_>) -> Result<Pick, PickError> {
        self.view().pick(request)
    }

    /// Reads the request's tokens and legacy cookies, and takes nothing: no lease, no count, no live session. For hosts
    /// that choose the upstream themselves: afterwards [`lease`](Self::lease) takes a lease on it, and
    /// [`token_for`](Self::token_for) gives the token to send to the client.
    ///
    /// It does not check whether the upstream has room, which `lease` does, and rebalances no session. Costs one
    /// snapshot load, one HMAC-SHA256 for each token that is verified, and one call of [`Entropy::next`] if none is
    /// valid.
    ///
    /// # Errors
    /// [`EntropyError`] if there is no random number for a new session.
    pub fn open(&self, request: &Request<'_>) -> Result<Opened, EntropyError> {
        self.view().open(request)
    }

    /// Takes a lease on the upstream that the host chose, and counts the request there as a pick with this `decision`,
    /// so that policies, limits and statistics see it. `session_id` is that of [`open`](Self::open). Whether the
    /// upstream serves or accepts is for the host to look at.
    ///
    /// Costs one snapshot load, one lookup in a hash table, and what a pick's lease costs.
    ///
    /// # Errors
    /// [`PickError::Unavailable`] if the cluster does not have the upstream, [`PickError::Full`] if it is at its limit
    /// of requests in flight.
    pub fn lease(
        &self,
        upstream: UpstreamId,
        session_id: u64,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Lease, PickError> {
        self.view().lease(upstream, session_id, decision, now)
    }

    /// The token to send to the client of a session that the host placed on `upstream`. `None` if the request carries a
    /// token that says the same and need not be renewed, or if there is no affinity.
    ///
    /// The session is that of the request's token. If the request has no valid token, a session begins with
    /// `session_id`. Changes nothing. Costs one snapshot load, one HMAC-SHA256 for each token that is verified, and one
    /// for a new token.
    #[must_use]
    pub fn token_for(&self, upstream: &Upstream, session_id: u64, request: &Request<'_>) -> Option<Token> {
        self.view().token_for(upstream, session_id, request)
    }

    /// The upstream to which the session of a request is pinned, and for which the request has to wait after
    /// [`PickError::Full`].
    ///
    /// `None` if the request has no session yet, if its pin is lost, and if sessions
    /// [move](crate::affinity::OnFull::Move) when their upstream is full: then any upstream can take the request. Costs
    /// one snapshot load and one HMAC-SHA256 for each token that is verified.
    #[must_use]
    pub fn pinned_upstream(&self, request: &Request<'_>) -> Option<UpstreamId> {
        self.view().pinned_upstream(request)
    }

    pub(super) fn pick_from(&self, snapshot: &Snapshot, request: &Request<'_>) -> Result<Pick, PickError> {
        match &snapshot.settings.affinity {
            Some(affinity) => self.pick_with_affinity(snapshot, affinity, request),
            None => {
                let session = request.session(self.seeded.draw());
                let lease = place::place(&self.slow_start, snapshot, &session, None, request)?;
                Ok(counted(Pick { lease, decision: Decision::New, token: None, session_id: session.session_id }))
            }
        }
    }

    fn pick_with_affinity(
        &self,
        snapshot: &Snapshot,
        affinity: &Affinity,
        request: &Request<'_>,
    ) -> Result<Pick, PickError> {
        let cluster = &snapshot.cluster;
        let (token, token_loss) = match affinity.open(request.tokens, request.now) {
            Ok(claims) => (Some(claims), None),
            Err(loss) => (None, loss),
        };
        let session_id = match &token {
            Some(claims) => claims.session_id,
            None => self.entropy.next()?,
        };
        let loss = match token.or_else(|| snapshot.legacy_claims(affinity, request, session_id)) {
            None => token_loss,
            Some(claims) => {
                let loss = match pinned_upstream(cluster, affinity, &claims, request) {
                    // A migrated session is not rebalanced before its first token comes back.
                    Ok((member, Decision::Pinned))
                        if token.is_some()
                            && let Some(lease) = self.rebalance(snapshot, &claims, member, request) =>
                    {
                        let decision = Decision::PinLost(PinLoss::Rebalanced);
                        return Ok(finish(affinity, lease, decision, token.as_ref(), session_id, request.now));
                    }
                    Ok((member, decision)) => match member.lease() {
                        Some(lease) => {
                            return Ok(finish(affinity, lease, decision, token.as_ref(), session_id, request.now));
                        }
                        None => PinLoss::Full,
                    },
                    Err(loss) => loss,
                };
                if let Some(error) = snapshot.keeps_pin(affinity, &claims, loss, request) {
                    return Err(error);
                }
                Some(loss)
            }
        };
        let lease = place::place(&self.slow_start, snapshot, &request.session(session_id), loss, request)?;
        let decision = loss.map_or(Decision::New, Decision::PinLost);
        Ok(finish(affinity, lease, decision, token.as_ref(), session_id, request.now))
    }

    /// The upstream that a session pinned to `pinned` is to be rebalanced to now, if any.
    pub(super) fn rebalance_target<'s>(
        &self,
        snapshot: &'s Snapshot,
        claims: &Claims,
        pinned: &Member,
        request: &Request<'_>,
    ) -> Option<&'s Member> {
        self.rebalance.target(snapshot.settings.rebalance.as_ref()?, &snapshot.cluster, claims, pinned, request)
    }

    /// A lease on [`rebalance_target`](Self::rebalance_target). Every pinned pick asks, and most balancers have
    /// rebalancing off.
    #[inline]
    fn rebalance(&self, snapshot: &Snapshot, claims: &Claims, pinned: &Member, request: &Request<'_>) -> Option<Lease> {
        self.rebalance.lease(snapshot.settings.rebalance.as_ref()?, &snapshot.cluster, claims, pinned, request)
    }

    /// The cluster in force, with the counters of its upstreams. The guard is for short use: drop it before waiting for
    /// anything.
    #[must_use]
    pub fn cluster(&self) -> ClusterRef {
        ClusterRef(self.snapshot.load_full())
    }

    /// The affinity in force, if there is one.
    #[must_use]
    pub fn affinity(&self) -> Option<Arc<Affinity>> {
        self.snapshot.load().settings.affinity.clone()
    }

    /// The generation in force.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.snapshot.load().generation
    }

    /// Works out a membership change without making it. Takes no lock. [`forecast`](Self::forecast) says what it would
    /// do. See [`plan_to`](Self::plan_to) for a host that knows the whole list.
    ///
    /// # Errors
    /// [`PlanError`] where a removal names no upstream or the result would be no cluster. A plan may remove every
    /// upstream: then the cluster is empty, and picks are [`PickError::Unavailable`].
    pub fn plan(&self, changes: &[Change]) -> Result<Plan, PlanError> {
        let snapshot = self.snapshot.load();
        let configs = cluster::next_configs(&snapshot.cluster, changes)?;
        Ok(plan_from(&snapshot, &configs)?)
    }

    /// Works out the change to exactly these upstreams, in this order: those that the cluster lacks are added, those
    /// that differ are changed, those that are not listed are removed. Takes no lock and changes nothing; linear in
    /// both lists.
    ///
    /// An upstream whose name and address stay keeps its counters, availability and sessions, as with
    /// [`plan`](Self::plan).
    ///
    /// ```
    /// use homing::cluster::Effect;
    /// use homing::{Balancer, UpstreamConfig};
    ///
    /// let app = |name| UpstreamConfig::new(name, format!("{name}.internal:8080"));
    /// let balancer = Balancer::builder().upstreams([app("app-1"), app("app-2")]).build()?;
    ///
    /// let plan = balancer.plan_to(&[app("app-3"), app("app-2")])?;
    /// let removed = Effect::Removed { name: "app-1".to_owned(), in_flight: 0 };
    /// assert_eq!(plan.effects(), [removed, Effect::Added("app-3".to_owned())]);
    /// balancer.apply(plan)?;
    /// assert_eq!(balancer.cluster().members()[0].upstream().name(), "app-3");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError::Cluster`] where the list is no cluster.
    pub fn plan_to(&self, upstreams: &[UpstreamConfig]) -> Result<Plan, PlanError> {
        Ok(plan_from(&self.snapshot.load(), upstreams)?)
    }

    /// Makes a planned change: all of it, or nothing where another change came first. The next policy is built on
    /// the calling thread, from the last where it can be; picks use the old snapshot until the new one is published.
    ///
    /// # Errors
    /// [`ApplyError::Stale`] where the generation moved on since the plan was made.
    pub fn apply(&self, plan: Plan) -> Result<Generation, ApplyError> {
        let base = self.snapshot.load_full();
        base.is_base_of(&plan)?;
        // Built before the lock is taken: another writer may come first, and then this one fails as stale.
        let policy = base.next_policy(&plan.cluster);
        let legacy_cookies = legacy_cookie_table(base.settings.affinity.as_deref(), &plan.cluster);
        let _writer = self.writer.lock();
        let current = self.snapshot.load();
        current.is_base_of(&plan)?;
        let settings = current.settings.clone();
        let mut health = self.health.lock();
        health.follow(&plan.cluster);
        self.slow_start.update(settings.slow_start, &plan.cluster, health.now());
        Ok(self.publish(Snapshot { generation: plan.base, cluster: plan.cluster, policy, legacy_cookies, settings }))
    }

    /// Changes the keys, for rotation: see [`KeyRing`]. Each client gets a token of the new key with its next request.
    ///
    /// # Errors
    /// [`KeyError::OtherIdentity`] where the ring is of another pool or identity secret. Without affinity the ring
    /// has no use, and nothing happens.
    pub fn set_keys(&self, keys: KeyRing) -> Result<Generation, KeyError> {
        let _writer = self.writer.lock();
        let current = self.snapshot.load();
        let affinity = match &current.settings.affinity {
            Some(affinity) => Some(Arc::new(affinity.with_keys(keys)?)),
            None => return Ok(current.generation),
        };
        let settings = BalancerSettings { affinity, ..current.settings.clone() };
        let cluster = current.cluster.clone();
        let policy = current.next_policy(&cluster);
        let legacy_cookies = current.legacy_cookies.clone();
        Ok(self.publish(Snapshot { generation: current.generation, cluster, policy, legacy_cookies, settings }))
    }

    /// Publishes `next` as the next generation. Call with the writer's lock held.
    pub(super) fn publish(&self, mut next: Snapshot) -> Generation {
        next.generation = Generation(next.generation.0 + 1);
        let generation = next.generation;
        self.snapshot.store(Arc::new(next));
        self.wake_waiters();
        generation
    }
}

fn plan_from(snapshot: &Snapshot, configs: &[UpstreamConfig]) -> Result<Plan, cluster::ClusterError> {
    let cluster = build_cluster(configs, snapshot.settings.affinity.as_deref(), Some(&snapshot.cluster))?;
    let effects = cluster::effects(&snapshot.cluster, &cluster);
    Ok(Plan { base: snapshot.generation, cluster, effects })
}

/// Counts the session as live, issues its token where it changes, and counts the decision.
fn finish(
    affinity: &Affinity,
    lease: Lease,
    decision: Decision,
    known: Option<&Claims>,
    session_id: u64,
    now: Timestamp,
) -> Pick {
    // Now rather than with the response: otherwise a burst of new sessions finds the upstream as empty as the first one
    // did.
    lease.upstream().touch(session_id, now);
    let token = affinity.issue(known, session_id, lease.upstream(), now);
    counted(Pick { lease, decision, token, session_id })
}

fn counted(pick: Pick) -> Pick {
    pick.upstream().note(pick.decision);
    pick
}
