//! The balancer: one snapshot of cluster, policy and affinity, and the picks made from it.

mod builder;
mod explain;
mod forecast;
mod health;
mod pinned;
mod place;
mod rebalance;
mod settings;
mod slow_start;
mod view;

pub use builder::{BalancerBuilder, BuildError};
pub use explain::{Explanation, Step, TokenSet};
pub use forecast::{Capacity, Forecast};
pub use health::UnknownUpstream;
pub use settings::ReconfigureError;
pub use view::{Opened, View};

use crate::affinity::{Affinity, Claims, KeyError, KeyRing, LegacyCookie, LegacyCookieTable, Token};
use crate::cluster::{
    self, ApplyError, Change, Cluster, ClusterError, Decision, Generation, Lease, PinLoss, Plan, PlanError, Session,
    SlowStartAccess, Upstream, UpstreamConfig, UpstreamId,
};
use crate::health::Monitor;
use crate::policy::Policy;
use crate::rng::{Entropy, EntropyError, SeededEntropy};
use crate::time::Timestamp;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pinned::pinned_upstream;
use rebalance::RebalanceState;
use settings::BalancerSettings;
use slow_start::SlowStartState;
use std::net::IpAddr;
use std::sync::Arc;

/// What a host knows of a request when it asks where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The time, read once by the host.
    pub now: Timestamp,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// What hash policies hash.
    pub key: Option<&'a [u8]>,
    /// The tokens that the client sent, in order. The first good one of the first four counts.
    pub tokens: &'a [&'a [u8]],
    /// Cookies of the proxy that was here before: see [`incumbents`](Self::legacy_cookies).
    pub legacy_cookies: &'a [LegacyCookie<'a>],
    /// Upstreams that already failed this request. A session pinned to one of them moves.
    pub tried: &'a [UpstreamId],
    /// Whether the host cannot let it wait: see [`no_wait`](Self::no_wait).
    pub no_wait: bool,
}

impl<'a> Request<'a> {
    /// A request at `now` of which nothing else is known.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { now, client: None, key: None, tokens: &[], legacy_cookies: &[], tried: &[], no_wait: false }
    }

    /// With the client's address.
    #[must_use]
    pub const fn client(mut self, client: IpAddr) -> Self {
        self.client = Some(client);
        self
    }

    /// With the key that hash policies hash, in place of the client's address.
    #[must_use]
    pub const fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// With the tokens that the client sent.
    #[must_use]
    pub const fn tokens(mut self, tokens: &'a [&'a [u8]]) -> Self {
        self.tokens = tokens;
        self
    }

    /// With the cookies of the proxy that was here before, which are looked at where no token is good, in this order: that of
    /// [`AffinityBuilder::accept`](crate::affinity::AffinityBuilder::accept), as a rule. The first that means exactly one
    /// upstream counts; of more than 16, those beyond are not looked at.
    #[must_use]
    pub const fn legacy_cookies(mut self, legacy_cookies: &'a [LegacyCookie<'a>]) -> Self {
        self.legacy_cookies = legacy_cookies;
        self
    }

    /// With the upstreams that already failed it.
    #[must_use]
    pub const fn tried(mut self, tried: &'a [UpstreamId]) -> Self {
        self.tried = tried;
        self
    }

    /// To be answered now: a session that would have to [wait](PickError::Later) is moved at once, and counts towards no
    /// rate. For hosts that cannot pick again later.
    #[must_use]
    pub const fn no_wait(mut self) -> Self {
        self.no_wait = true;
        self
    }

    fn session(&self, session_id: u64) -> Session<'a> {
        Session {
            session_id,
            now: self.now,
            client: self.client,
            key: self.key,
            tried: self.tried,
            slow_start: SlowStartAccess::All,
        }
    }
}

/// Where a request goes.
#[derive(Debug)]
pub struct Pick {
    /// Its count on the upstream. Keep it as long as the response body or the tunnel lives.
    pub lease: Lease,
    /// Why it goes there.
    pub decision: Decision,
    /// The token to send to the client, where what it carries must change.
    pub token: Option<Token>,
    /// The session's: see [`Upstream::drain_deadline`]. Without affinity that of this request alone.
    pub session_id: u64,
}

impl Pick {
    /// The upstream that was picked.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        self.lease.upstream()
    }
}

/// Why a request goes nowhere.
#[derive(Debug, thiserror::Error)]
pub enum PickError {
    /// No upstream accepts sessions.
    #[error("no upstream is available")]
    Unavailable,
    /// Upstreams accept, but all are at their limit of requests in flight; or the session's own upstream is, and
    /// [sessions wait](crate::affinity::OnFull::Wait) for it. The request may be picked for again when a lease was dropped.
    #[error("no upstream that can take it has room")]
    Full,
    /// The session's own upstream cannot take it, and sessions are not to be moved.
    #[error("the session's upstream is unavailable ({0})")]
    Rejected(PinLoss),
    /// The session is to wait, and to be picked for again. A host that cannot says so by [`Request::no_wait`].
    #[error("{reason}")]
    Later {
        /// When to ask again. Sooner does no harm.
        at: Timestamp,
        /// What it waits for.
        reason: Wait,
    },
    /// No randomness for a new session.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// What a displaced session waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Wait {
    /// Its upstream is down and may come back: see [`Failover::return_timeout`](crate::health::Failover::return_timeout). It may be back
    /// sooner; and whoever waits for it should not hold against it that it [was tried](Request::tried).
    #[error("the session's upstream is down and may come back")]
    UpstreamReturn,
    /// Many are displaced with it, and its failover target takes so many at a time: see
    /// [`Failover::rate`](crate::health::Failover::rate).
    #[error("the failover target admits a limited number of displaced sessions a second")]
    Admission,
}

/// Everything a pick reads, behind one pointer, so that its parts can never disagree.
struct Snapshot {
    generation: Generation,
    cluster: Cluster,
    policy: Box<dyn Policy>,
    /// `None` where no cookie of another proxy is accepted.
    legacy_cookies: Option<Arc<LegacyCookieTable>>,
    settings: BalancerSettings,
}

impl Snapshot {
    /// Whether `plan` was made against this one.
    fn is_base_of(&self, plan: &Plan) -> Result<(), ApplyError> {
        match self.generation == plan.base {
            true => Ok(()),
            false => Err(ApplyError::Stale { planned: plan.base, current: self.generation }),
        }
    }

    /// The policy for `cluster`: made from the one in force, where it knows how.
    fn next_policy(&self, cluster: &Cluster) -> Box<dyn Policy> {
        self.policy.rebuilt(cluster).unwrap_or_else(|| (self.settings.policy_spec.factory)(cluster))
    }
}

/// Picks an upstream for each request. Shared by all threads; see the [crate's example](crate#example).
pub struct Balancer {
    snapshot: ArcSwap<Snapshot>,
    writer: Mutex<()>,
    /// Locked after the writer's, where both are.
    health: Mutex<Monitor>,
    slow_start: SlowStartState,
    rebalance_state: RebalanceState,
    entropy: Box<dyn Entropy>,
    /// For requests without affinity, which need chance but no session id that is unique in the world.
    dice: SeededEntropy,
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
    /// Starts a configuration.
    #[must_use]
    pub fn builder() -> BalancerBuilder {
        BalancerBuilder::new()
    }

    /// Decides where a request goes, and takes a place there.
    ///
    /// Takes no lock and allocates nothing, but for a thread's slots at its first pick. Costs one snapshot load and one
    /// lease; with a token one HMAC-SHA256; without one what the policy costs, and for a new session one call of
    /// [`Entropy::next`] and one HMAC; where there are [legacy cookies](Request::legacy_cookies), a look into a table for each. A
    /// pick that was under way during a change may be the one to free the old snapshot.
    ///
    /// # Errors
    /// [`PickError`] where no upstream can take the request. No count was changed then.
    pub fn pick(&self, request: &Request<'_>) -> Result<Pick, PickError> {
        self.pick_from(&self.snapshot.load(), request)
    }

    fn pick_from(&self, snapshot: &Snapshot, request: &Request<'_>) -> Result<Pick, PickError> {
        match &snapshot.settings.affinity {
            Some(affinity) => self.pick_bound(snapshot, affinity, request),
            None => {
                let session = request.session(self.dice.draw());
                let lease = self.place(snapshot, &session, None, request)?;
                Ok(noted(Pick { lease, decision: Decision::New, token: None, session_id: session.session_id }))
            }
        }
    }

    fn pick_bound(&self, snapshot: &Snapshot, affinity: &Affinity, request: &Request<'_>) -> Result<Pick, PickError> {
        let cluster = &snapshot.cluster;
        let (token, refused) = match affinity.open(request.tokens, request.now) {
            Ok(claims) => (Some(claims), None),
            Err(loss) => (None, loss),
        };
        let session_id = match &token {
            Some(claims) => claims.session_id,
            None => self.entropy.next()?,
        };
        let loss = match token.or_else(|| snapshot.legacy_claims(affinity, request, session_id)) {
            None => refused,
            Some(claims) => {
                let loss = match pinned_upstream(cluster, affinity, &claims, request) {
                    // Who has just been adopted stays at least until its token comes back.
                    Ok((member, Decision::Pinned))
                        if token.is_some()
                            && let Some(lease) = self.rebalance(snapshot, &claims, member, request) =>
                    {
                        let decision = Decision::PinLost(PinLoss::Rebalanced);
                        return Ok(answer(affinity, lease, decision, token.as_ref(), session_id, request.now));
                    }
                    Ok((member, decision)) => match member.lease() {
                        Some(lease) => {
                            return Ok(answer(affinity, lease, decision, token.as_ref(), session_id, request.now));
                        }
                        None => PinLoss::Full,
                    },
                    Err(loss) => loss,
                };
                if let Some(refusal) = snapshot.keeps(affinity, &claims, loss, request) {
                    return Err(refusal);
                }
                Some(loss)
            }
        };
        let lease = self.place(snapshot, &request.session(session_id), loss, request)?;
        let decision = loss.map_or(Decision::New, Decision::PinLost);
        Ok(answer(affinity, lease, decision, token.as_ref(), session_id, request.now))
    }

    /// The cluster in force, with the counters of its upstreams. The guard is for a short look: drop it before
    /// waiting for anything.
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
    /// do.
    ///
    /// # Errors
    /// [`PlanError`] where a removal names no upstream or the result would be no cluster.
    pub fn plan(&self, changes: &[Change]) -> Result<Plan, PlanError> {
        let snapshot = self.snapshot.load();
        let configs = cluster::next_configs(&snapshot.cluster, changes)?;
        let cluster = build_cluster(&configs, snapshot.settings.affinity.as_deref(), Some(&snapshot.cluster))?;
        let effects = cluster::effects(&snapshot.cluster, &cluster);
        Ok(Plan { base: snapshot.generation, cluster, effects })
    }

    /// Makes a planned change: all of it, or nothing where another change came first. The next policy is built on
    /// the calling thread, from the last where it can be; picks go on with the old snapshot until the new one stands.
    ///
    /// # Errors
    /// [`ApplyError::Stale`] where the generation moved on since the plan was made.
    pub fn apply(&self, plan: Plan) -> Result<Generation, ApplyError> {
        let base = self.snapshot.load_full();
        base.is_base_of(&plan)?;
        // Before the lock: another writer may overtake this one, and then it is this one that comes too late.
        let policy = base.next_policy(&plan.cluster);
        let legacy_cookies = legacy_cookie_table(base.settings.affinity.as_deref(), &plan.cluster);
        let _writer = self.writer.lock();
        let current = self.snapshot.load();
        current.is_base_of(&plan)?;
        let settings = current.settings.clone();
        let mut health = self.health.lock();
        health.follow(&plan.cluster);
        self.update_slow_start(settings.slow_start, &plan.cluster, health.now());
        Ok(self.publish(Snapshot { generation: plan.base, cluster: plan.cluster, policy, legacy_cookies, settings }))
    }

    /// Changes the keys, for rotation: see [`KeyRing`]. Tokens change over at each client's next request.
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

    /// Call with the writer's lock held.
    fn publish(&self, mut next: Snapshot) -> Generation {
        next.generation = Generation(next.generation.0 + 1);
        let generation = next.generation;
        self.snapshot.store(Arc::new(next));
        generation
    }
}

fn answer(
    affinity: &Affinity,
    lease: Lease,
    decision: Decision,
    known: Option<&Claims>,
    session_id: u64,
    now: Timestamp,
) -> Pick {
    // At once, so that a burst of new sessions does not find the upstream as empty as the first of them did.
    lease.upstream().touch(session_id, now);
    let token = affinity.issue(known, session_id, lease.upstream(), now);
    noted(Pick { lease, decision, token, session_id })
}

fn noted(pick: Pick) -> Pick {
    pick.upstream().note(pick.decision);
    pick
}

fn build_cluster(
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

/// What cookies of the proxy that was here before mean in this cluster, where they are accepted.
fn legacy_cookie_table(affinity: Option<&Affinity>, cluster: &Cluster) -> Option<Arc<LegacyCookieTable>> {
    LegacyCookieTable::new(affinity?.accepted(), cluster).map(Arc::new)
}

/// The cluster of one moment. Dereferences to [`Cluster`].
pub struct ClusterRef(Arc<Snapshot>);

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
