//! One moment of a balancer, for hosts that call upstreams by their number in the cluster: the number, and all that is
//! asked about it, are of one snapshot.

use super::{Balancer, Pick, PickError, Request, Snapshot, home};
use crate::affinity::{Claims, Token};
use crate::cluster::{Cluster, Decision, Generation, Lease, Upstream, UpstreamId};
use crate::time::Timestamp;
use arc_swap::Guard;
use std::sync::Arc;

/// The snapshot in force, and the balancer that it is of. For a short look, as [`ClusterRef`](super::ClusterRef) is.
pub(crate) struct View<'b> {
    balancer: &'b Balancer,
    snapshot: Guard<Arc<Snapshot>>,
}

/// What a request's tokens say.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The upstream that the first good one names, where there is one.
    pub(crate) upstream: Option<UpstreamId>,
    /// The session's nonce; 0 without a good token.
    pub(crate) nonce: u64,
    /// [`Pinned`](Decision::Pinned) where the session goes there; otherwise why it does not.
    pub(crate) decision: Decision,
}

impl Balancer {
    pub(crate) fn view(&self) -> View<'_> {
        View { balancer: self, snapshot: self.snapshot.load() }
    }
}

impl View<'_> {
    pub(crate) fn generation(&self) -> Generation {
        self.snapshot.generation
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.snapshot.cluster
    }

    /// As [`Balancer::pick`], with the number of the upstream.
    pub(crate) fn pick(&self, request: &Request<'_>) -> Result<(Pick, usize), PickError> {
        let pick = self.balancer.pick_from(&self.snapshot, request)?;
        let index = self.cluster().index_of(pick.upstream().id()).ok_or(PickError::Unavailable)?;
        Ok((pick, index))
    }

    /// Reads the request's tokens, and takes nothing.
    pub(crate) fn open(&self, request: &Request<'_>) -> Opened {
        let snapshot = &self.snapshot;
        let Some(affinity) = &snapshot.affinity else {
            return Opened { upstream: None, nonce: 0, decision: Decision::New };
        };
        match affinity.open(request.tokens, request.now) {
            Ok(claims) => {
                let decision = match home(&snapshot.cluster, affinity, &claims, request) {
                    Ok((_, decision)) => decision,
                    Err(lost) => Decision::Lost(lost),
                };
                Opened { upstream: Some(claims.upstream), nonce: claims.nonce, decision }
            }
            Err(lost) => Opened { upstream: None, nonce: 0, decision: lost.map_or(Decision::New, Decision::Lost) },
        }
    }

    /// The token for the client of a session that its host has put on `upstream`, where it must carry another one. The
    /// session is the one of the request's token; without a good one it begins now.
    pub(crate) fn token_for(&self, upstream: &Upstream, request: &Request<'_>) -> Result<Option<Token>, PickError> {
        let Some(affinity) = &self.snapshot.affinity else { return Ok(None) };
        let known: Option<Claims> = affinity.open(request.tokens, request.now).ok();
        let nonce = match &known {
            Some(claims) => claims.nonce,
            None => self.balancer.entropy.next()?,
        };
        Ok(affinity.issue(known.as_ref(), nonce, upstream, request.now))
    }

    /// Takes a place for a request that its host has put on the upstream called `id`, and counts it as a pick that was
    /// decided this way.
    pub(crate) fn lease(
        &self,
        id: UpstreamId,
        nonce: u64,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Lease, PickError> {
        let member = self.cluster().find(id).ok_or(PickError::Unavailable)?;
        let lease = member.lease().ok_or(PickError::Full)?;
        lease.upstream().touch(nonce, now);
        lease.upstream().note(decision);
        Ok(lease)
    }
}
