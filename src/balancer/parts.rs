//! What hosts ask that call upstreams by their number in the cluster: the number, and all that is asked about it, are of
//! one snapshot.

use super::{Pick, PickError, Request, View, pinned_upstream};
use crate::affinity::{Affinity, Claims, Token};
use crate::cluster::{Cluster, Decision, Generation, Lease, Member, Upstream, UpstreamId};
use crate::rng::EntropyError;
use crate::time::Timestamp;

/// What a request's tokens say.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The upstream that the first good one names, where there is one; otherwise that of the first incumbent that means one.
    pub(crate) upstream: Option<UpstreamId>,
    /// The session id; without a good token a new one.
    pub(crate) session_id: u64,
    /// [`Pinned`](Decision::Pinned) where the session goes there; otherwise why it does not.
    pub(crate) decision: Decision,
}

impl View<'_> {
    pub(crate) fn generation(&self) -> Generation {
        self.snapshot.generation
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.snapshot.cluster
    }

    /// As [`Balancer::pick`], with the number of the upstream.
    pub(crate) fn pick_numbered(&self, request: &Request<'_>) -> Result<(Pick, usize), PickError> {
        let pick = self.balancer.pick_from(&self.snapshot, request)?;
        let index = self.cluster().index_of(pick.upstream().id()).ok_or(PickError::Unavailable)?;
        Ok((pick, index))
    }

    /// Reads the request's tokens, and takes nothing.
    pub(crate) fn open(&self, request: &Request<'_>) -> Result<Opened, EntropyError> {
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

    /// The token for the client of a session that its host has put on `upstream`, where it must carry another one. The
    /// session is the one of the request's token; without a good one it begins now, as `session_id`.
    pub(crate) fn token_for(&self, upstream: &Upstream, session_id: u64, request: &Request<'_>) -> Option<Token> {
        let affinity = self.snapshot.settings.affinity.as_ref()?;
        let known: Option<Claims> = affinity.open(request.tokens, request.now).ok();
        let session_id = known.as_ref().map_or(session_id, |claims| claims.session_id);
        affinity.issue(known.as_ref(), session_id, upstream, request.now)
    }

    /// Takes a place for a request that its host has put on `member`, and counts it as a pick that was decided this way.
    pub(crate) fn lease(
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
}
