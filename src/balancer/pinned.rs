//! A session whose token is good, or that is adopted from another proxy: whether it comes home, has to move, or is to wait.

use super::{PickError, Request, Snapshot, Wait};
use crate::affinity::{Affinity, Claims, OnFull, OnRestart, OnUnavailable};
use crate::cluster::{Cluster, Decision, Member, PinLoss};

/// The upstream that a token names, where it serves the session it holds, and why the session goes there. It may be
/// full.
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
    if upstream.drain_deadline(claims.session_id).is_some_and(|moment| request.now >= moment) {
        return Err(PinLoss::Drained);
    }
    match upstream.availability().serving && !request.tried.contains(&claims.upstream) {
        true => Ok((member, decision)),
        false => Err(PinLoss::NotServing),
    }
}

impl Snapshot {
    /// What a token of ours would say of a session that comes from another proxy, with the cookie that this set. It is as if
    /// the client had brought that token, so that all holds of it that holds of any session.
    pub(super) fn legacy_claims(&self, affinity: &Affinity, request: &Request<'_>, session_id: u64) -> Option<Claims> {
        let (_, member) = self.legacy_cookies.as_ref()?.find(&self.cluster, request.legacy_cookies)?;
        Some(affinity.next_claims(None, session_id, member.upstream(), request.now))
    }

    /// Why a session whose home cannot take it is not moved, or not yet.
    pub(super) fn keeps(
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
                let since = self.cluster.find(claims.upstream)?.upstream().lifecycle().down_since()?;
                let at = since.after(self.settings.failover.return_timeout);
                (request.now < at).then_some(PickError::Later { at, reason: Wait::UpstreamReturn })
            }
            _ => None,
        }
    }
}
