//! Sessions with a good token or a legacy cookie: whether they stay on their upstream, wait for it, or have to move.

use super::pick::{PickError, Wait};
use super::request::Request;
use super::snapshot::Snapshot;
use crate::affinity::{Affinity, Claims, OnFull, OnRestart, OnUnavailable};
use crate::cluster::{Cluster, Decision, Member, PinLoss};

/// The upstream that a token names, if it serves the session, and the decision that this makes. It may be full.
pub(super) fn pinned_upstream<'c>(
    cluster: &'c Cluster,
    affinity: &Affinity,
    claims: &Claims,
    request: &Request<'_>,
) -> Result<(&'c Member, Decision), PinLoss> {
    let member = cluster.find(claims.upstream).ok_or(PinLoss::NoSuchUpstream)?;
    let upstream = member.upstream();
    let decision = match upstream.is_incarnation(claims.incarnation) {
        Ok(()) => Decision::Pinned,
        Err(loss) if affinity.on_restart() == OnRestart::Keep => Decision::PinLost(loss),
        Err(loss) => return Err(loss),
    };
    if upstream.drain_deadline(claims.session_id).is_some_and(|deadline| request.now >= deadline) {
        return Err(PinLoss::Drained);
    }
    match upstream.availability().serving && !request.tried.contains(&claims.upstream) {
        true => Ok((member, decision)),
        false => Err(PinLoss::NotServing),
    }
}

impl Snapshot {
    /// The claims that a token of ours would have for a session with a legacy cookie. The session is treated as if its
    /// client had brought that token, so that everything that holds for pinned sessions holds for it.
    pub(super) fn legacy_claims(&self, affinity: &Affinity, request: &Request<'_>, session_id: u64) -> Option<Claims> {
        let (_, member) = self.legacy_cookies.as_ref()?.find(&self.cluster, request.legacy_cookies)?;
        Some(affinity.next_claims(None, session_id, member.upstream(), request.now))
    }

    /// The error to answer with where a session keeps its pin although its upstream cannot take it, or is to wait
    /// first. `None`: it moves.
    pub(super) fn keeps_pin(
        &self,
        affinity: &Affinity,
        claims: &Claims,
        loss: PinLoss,
        request: &Request<'_>,
    ) -> Option<PickError> {
        match (loss, affinity.on_unavailable(), affinity.on_full()) {
            (PinLoss::NotServing | PinLoss::Full, OnUnavailable::Reject, _) => Some(PickError::Rejected(loss)),
            (PinLoss::Full, _, OnFull::Wait) => Some(PickError::Full),
            (PinLoss::NotServing, ..) if !request.no_wait && !self.settings.failover.return_timeout.is_zero() => {
                let down_since = self.cluster.find(claims.upstream)?.upstream().lifecycle().down_since()?;
                let at = down_since.after(self.settings.failover.return_timeout);
                (request.now < at).then_some(PickError::Later { at, reason: Wait::UpstreamReturn })
            }
            _ => None,
        }
    }
}
