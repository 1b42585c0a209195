//! One snapshot of a balancer: for adapters that number upstreams, or choose the upstream themselves.

use super::balancer::Balancer;
use super::explain::Explanation;
use super::pick::{Pick, PickError};
use super::pinned::pinned_upstream;
use super::request::Request;
use super::snapshot::Snapshot;
use crate::affinity::{AcceptedCookie, Affinity, Claims, OnFull, Token};
use crate::cluster::{Cluster, Decision, Generation, Lease, Member, Upstream, UpstreamId};
use crate::rng::EntropyError;
use crate::time::Timestamp;
use arc_swap::Guard;
use std::sync::Arc;

/// One snapshot of a [`Balancer`]: all calls see the same cluster, keys and policy.
///
/// [`Balancer::pick`] is all that most adapters need. A view is for those that
///
/// - number upstreams by their [index](Cluster::index_of), which is valid in one [`generation`](Self::generation) only;
/// - choose the upstream themselves: [`open`](Self::open) reads the tokens, [`lease`](Self::lease) takes a lease on the
///   chosen upstream, [`token_for`](Self::token_for) gives the token to send to the client;
/// - queue requests: [`pinned_upstream`](Self::pinned_upstream) says which upstream a request has to wait for.
///
/// Creating a view costs the load of the snapshot that a pick costs. It is for the decision about one request: it keeps
/// its snapshot alive, and occupies one of the few debt slots of its thread ([`arc_swap::Guard`]), so drop it before
/// waiting for anything. Any number of threads can have views at the same time.
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
/// let member = view.cluster().find_name("app-2").expect("it is configured");
/// let lease = view.lease(member, opened.session_id, opened.decision, now)?;
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
    snapshot: Guard<Arc<Snapshot>>,
}

/// What a request's tokens say: see [`View::open`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The upstream that the first valid token names, whether the cluster has it or not; otherwise the one that the
    /// first legacy cookie means. `None` if the session begins with this request.
    pub upstream: Option<UpstreamId>,
    /// The session id; without a valid token a new one, for [`View::lease`] and [`View::token_for`].
    pub session_id: u64,
    /// [`Pinned`](Decision::Pinned) if the session goes to `upstream`, [`New`](Decision::New) without a token; otherwise
    /// the pin loss.
    pub decision: Decision,
}

impl Balancer {
    /// The current snapshot, for several questions about one request.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { balancer: self, snapshot: self.snapshot.load() }
    }

    /// The number of leases so far, summed over the upstreams that are in the cluster now. Looks at each of them.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let snapshot = self.snapshot.load();
        snapshot.cluster.members().iter().map(|member| member.upstream().total()).sum()
    }
}

impl View<'_> {
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

    /// Reads the request's tokens and legacy cookies, and takes nothing: no lease, no count, no live session.
    ///
    /// It does not check whether the upstream has room, which [`lease`](Self::lease) does, and rebalances no session.
    /// Costs one HMAC-SHA256 for each token that is verified, and one call of
    /// [`Entropy::next`](crate::rng::Entropy::next) if none is valid.
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

    /// Takes a lease on the upstream that the host chose, and counts the request there as a pick with this `decision`,
    /// so that policies, limits and statistics see it. `session_id` is that of [`open`](Self::open).
    ///
    /// Costs what a pick's lease costs.
    ///
    /// # Errors
    /// [`PickError::Full`] if the upstream is at its limit of requests in flight.
    pub fn lease(
        &self,
        member: &Member,
        session_id: u64,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Lease, PickError> {
        let lease = member.lease().ok_or(PickError::Full)?;
        lease.upstream().touch(session_id, now);
        lease.upstream().note(decision);
        Ok(lease)
    }

    /// The token to send to the client of a session that the host placed on `upstream`. `None` if the request carries a
    /// token that says the same and need not be renewed, or if there is no affinity.
    ///
    /// The session is that of the request's token. If the request has no valid token, a session begins with
    /// `session_id`. Changes nothing. Costs one HMAC-SHA256 for each token that is verified, and one for a new token.
    #[must_use]
    pub fn token_for(&self, upstream: &Upstream, session_id: u64, request: &Request<'_>) -> Option<Token> {
        let affinity = self.snapshot.settings.affinity.as_ref()?;
        let known: Option<Claims> = affinity.open(request.tokens, request.now).ok();
        let session_id = known.as_ref().map_or(session_id, |claims| claims.session_id);
        affinity.issue(known.as_ref(), session_id, upstream, request.now)
    }

    /// The upstream to which the session of a request is pinned, and for which the request has to wait after
    /// [`PickError::Full`].
    ///
    /// `None` if the request has no session yet, if its pin is lost, and if sessions [move](OnFull::Move) when their
    /// upstream is full. Costs one HMAC-SHA256 for each token that is verified.
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
