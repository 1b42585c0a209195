//! One snapshot of a balancer, and the steps of a pick one by one: what [`Balancer`] and [`Picker`](super::Picker)
//! offer is implemented here once.

use super::balancer::Balancer;
use super::explain::Explanation;
use super::pick::{Pick, PickError};
use super::pinned::pinned_upstream;
use super::request::Request;
use super::snapshot::Snapshot;
use crate::affinity::{AcceptedCookie, Affinity, Claims, OnFull, Token};
use crate::cluster::{Cluster, Decision, Generation, Lease, Upstream, UpstreamId};
use crate::rng::EntropyError;
use crate::time::Timestamp;
use arc_swap::Guard;
use std::sync::Arc;

/// One snapshot of a [`Balancer`], for several questions about one request: all calls see the same cluster, keys and
/// policy.
///
/// [`Balancer`] and [`Picker`](super::Picker) offer the same calls, each on the snapshot of that moment. A view is for
/// hosts that number upstreams by their [index](Cluster::index_of), which is valid in one
/// [`generation`](Self::generation) only, or read the request as the snapshot says: which
/// [cookies of other proxies](Self::accepted) count, for example.
///
/// [`Balancer::view`] costs the load of the snapshot that a pick costs: two atomic operations on a cache line of the
/// thread's own. [`Picker::view`](super::Picker::view) costs one relaxed load. A view is for the decision about one
/// request: it keeps its snapshot alive, and that of a balancer occupies one of the few debt slots of its thread
/// ([`arc_swap::Guard`]), so drop it before waiting for anything. Any number of threads can have views at the same
/// time.
///
/// # Example
///
/// A host with a policy of its own:
///
/// ```
/// use homing::{Affinity, Balancer, Decision, KeyRing, Request, Timestamp, UpstreamConfig};
///
/// let balancer = Balancer::builder()
///     .upstream(UpstreamConfig::new("app-1", "10.0.0.1:8080"))
///     .upstream(UpstreamConfig::new("app-2", "10.0.0.2:8080"))
///     .affinity(Affinity::builder(KeyRing::generate("shop")?).build()?)
///     .build()?;
/// let now = Timestamp::from_secs(1_700_000_000);
///
/// let view = balancer.view();
/// let request = Request::new(now);
/// let opened = view.open(&request)?;
/// assert_eq!(opened.decision, Decision::New);
///
/// // The host's choice.
/// let chosen = view.cluster().find_name("app-2").expect("it is configured").upstream();
/// let lease = view.lease(chosen.id(), opened.session_id, opened.decision, now)?;
/// let token = view.token_for(lease.upstream(), opened.session_id, &request).expect("a new session needs a token");
///
/// // The next request of the session.
/// let tokens = [token.as_bytes()];
/// let opened = view.open(&Request::new(now).tokens(&tokens))?;
/// assert_eq!(opened.decision, Decision::Pinned);
/// assert_eq!(opened.upstream, Some(lease.upstream().id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct View<'b> {
    balancer: &'b Balancer,
    snapshot: SnapshotRef<'b>,
}

/// A snapshot that was loaded for the view, or one that a picker has cached.
enum SnapshotRef<'b> {
    Loaded(Guard<Arc<Snapshot>>),
    Cached(&'b Snapshot),
}

impl std::ops::Deref for SnapshotRef<'_> {
    type Target = Snapshot;

    #[inline]
    fn deref(&self) -> &Snapshot {
        match self {
            Self::Loaded(guard) => guard,
            Self::Cached(snapshot) => snapshot,
        }
    }
}

/// What a request's tokens say: see [`Balancer::open`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The upstream that the first valid token names, whether the cluster has it or not; otherwise the one that the
    /// first legacy cookie means. `None` if the session begins with this request.
    pub upstream: Option<UpstreamId>,
    /// The session id; without a valid token a new one, for [`Balancer::lease`] and
    /// [`Balancer::token_for`].
    pub session_id: u64,
    /// [`Pinned`](Decision::Pinned) if the session goes to `upstream`, [`New`](Decision::New) without a token; otherwise
    /// the pin loss.
    pub decision: Decision,
}

impl Balancer {
    /// The current snapshot, for several questions about one request.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { balancer: self, snapshot: SnapshotRef::Loaded(self.snapshot.load()) }
    }

    /// The number of leases so far, summed over the upstreams that are in the cluster now. Looks at each of them.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let snapshot = self.snapshot.load();
        snapshot.cluster.members().iter().map(|member| member.upstream().total()).sum()
    }
}

impl<'b> View<'b> {
    #[inline]
    pub(super) fn cached(balancer: &'b Balancer, snapshot: &'b Snapshot) -> Self {
        Self { balancer, snapshot: SnapshotRef::Cached(snapshot) }
    }

    /// The generation of the snapshot.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.snapshot.generation
    }

    /// The cluster of the snapshot, with the counters of its upstreams.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.snapshot.cluster
    }

    /// The legacy cookies that are accepted: [`Request::legacy_cookies`] refers to them by their index here.
    #[must_use]
    pub fn accepted(&self) -> &[AcceptedCookie] {
        self.snapshot.settings.affinity.as_ref().map_or(&[], |affinity| affinity.accepted())
    }

    /// Decides where a request goes, and takes a lease there: [`Balancer::pick`] with this snapshot.
    ///
    /// # Errors
    /// [`PickError`] if no upstream can take the request. No counter has changed then.
    pub fn pick(&self, request: &Request<'_>) -> Result<Pick, PickError> {
        self.balancer.pick_from(&self.snapshot, request)
    }

    /// Reads the request's tokens and legacy cookies, and takes nothing: [`Balancer::open`] with this snapshot.
    ///
    /// # Errors
    /// [`EntropyError`] if there is no random number for a new session.
    pub fn open(&self, request: &Request<'_>) -> Result<Opened, EntropyError> {
        let snapshot = &self.snapshot;
        let opened = |affinity: &Affinity, claims: &Claims| {
            let pinned = pinned_upstream(&snapshot.cluster, affinity, claims, request);
            let decision = pinned.map_or_else(Decision::PinLost, |(_, decision)| decision);
            Opened { upstream: Some(claims.upstream), session_id: claims.session_id, decision }
        };
        let mut loss = None;
        if let Some(affinity) = &snapshot.settings.affinity {
            match affinity.open(request.tokens, request.now) {
                Ok(claims) => return Ok(opened(affinity, &claims)),
                Err(reason) => loss = reason,
            }
        }
        let session_id = self.balancer.entropy.next()?;
        let affinity = snapshot.settings.affinity.as_deref();
        let migrated =
            affinity.and_then(|affinity| Some((affinity, snapshot.legacy_claims(affinity, request, session_id)?)));
        Ok(match migrated {
            Some((affinity, claims)) => opened(affinity, &claims),
            None => Opened { upstream: None, session_id, decision: loss.map_or(Decision::New, Decision::PinLost) },
        })
    }

    /// Takes a lease on the upstream that the host chose: [`Balancer::lease`] with this snapshot.
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
        let member = self.cluster().find(upstream).ok_or(PickError::Unavailable)?;
        let lease = member.lease().ok_or(PickError::Full)?;
        lease.upstream().touch(session_id, now);
        lease.upstream().note(decision);
        Ok(lease)
    }

    /// The token to send to the client of a session that the host placed on `upstream`: [`Balancer::token_for`] with
    /// this snapshot.
    #[must_use]
    pub fn token_for(&self, upstream: &Upstream, session_id: u64, request: &Request<'_>) -> Option<Token> {
        let affinity = self.snapshot.settings.affinity.as_ref()?;
        let known: Option<Claims> = affinity.open(request.tokens, request.now).ok();
        let session_id = known.as_ref().map_or(session_id, |claims| claims.session_id);
        affinity.issue(known.as_ref(), session_id, upstream, request.now)
    }

    /// The upstream for which the request has to wait after [`PickError::Full`]: [`Balancer::pinned_upstream`] with
    /// this snapshot.
    #[must_use]
    pub fn pinned_upstream(&self, request: &Request<'_>) -> Option<UpstreamId> {
        let snapshot = &self.snapshot;
        let affinity = snapshot.settings.affinity.as_ref().filter(|affinity| affinity.on_full() == OnFull::Wait)?;
        let token = affinity.open(request.tokens, request.now).ok();
        // The upstream that a legacy cookie means does not depend on the session id.
        let claims = token.or_else(|| snapshot.legacy_claims(affinity, request, 0))?;
        pinned_upstream(&snapshot.cluster, affinity, &claims, request).ok().map(|(member, _)| member.upstream().id())
    }

    /// Explains step by step what [`pick`](Self::pick) would do: [`Balancer::explain`] with this snapshot.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        self.balancer.explain_from(&self.snapshot, request)
    }
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("generation", &self.generation()).finish_non_exhaustive()
    }
}
