//! Places sessions that do not stay on a pinned upstream: new ones by the policy, displaced ones along their own
//! rendezvous order.

use super::pick::{PickError, Wait};
use super::request::Request;
use super::slow_start::SlowStartState;
use super::snapshot::Snapshot;
use crate::affinity::failover_target;
use crate::cluster::{Lease, Member, PinLoss, Quota, Session, SlowStartAccess};
use crate::hash::mix64;
use crate::time::Timestamp;

/// How often a pick asks the policy before it scans for any place: a lease may lose the race for an upstream's last
/// place.
const RACES: usize = 4;

/// A lease for a session that does not stay on a pinned upstream.
#[inline]
pub(super) fn place(
    slow_start: &SlowStartState,
    snapshot: &Snapshot,
    session: &Session<'_>,
    loss: Option<PinLoss>,
    request: &Request<'_>,
) -> Result<Lease, PickError> {
    match loss {
        Some(loss) if loss.is_displaced() => place_displaced(snapshot, session, request),
        _ if slow_start.is_active(session.now) => {
            let limited = slow_start.limit(snapshot, session, true);
            let lease = place_new(snapshot, &limited)?;
            lease.upstream().lifecycle().took(limited.slow_start);
            Ok(lease)
        }
        _ => place_new(snapshot, session),
    }
}

#[cold]
fn place_displaced(snapshot: &Snapshot, session: &Session<'_>, request: &Request<'_>) -> Result<Lease, PickError> {
    let cluster = &snapshot.cluster;
    for _ in 0..RACES {
        let Some(index) = failover_target(cluster, session) else { break };
        let member = &cluster.members()[index];
        if !request.no_wait {
            snapshot.admit(member, session)?;
        }
        if let Some(lease) = member.lease() {
            return Ok(lease);
        }
    }
    any_place(snapshot, session)
}

impl Snapshot {
    /// Admits a displaced session that is about to move to `member`, or says when to come again.
    #[cold]
    fn admit(&self, member: &Member, session: &Session<'_>) -> Result<(), PickError> {
        let Some(quota) = self.settings.admission else { return Ok(()) };
        let gcra = member.upstream().lifecycle().admission();
        gcra.admit(session.now.as_micros(), quota).map_err(|due| later(due, quota, session))
    }

    /// What [`admit`](Self::admit) would return, without effect.
    pub(super) fn peek_admission(&self, member: &Member, session: &Session<'_>) -> Result<(), PickError> {
        let Some(quota) = self.settings.admission else { return Ok(()) };
        match member.upstream().lifecycle().admission().wait(session.now.as_micros(), quota) {
            Some(due) => Err(later(due, quota, session)),
            None => Ok(()),
        }
    }
}

#[inline]
fn place_new(snapshot: &Snapshot, session: &Session<'_>) -> Result<Lease, PickError> {
    let cluster = &snapshot.cluster;
    for _ in 0..RACES {
        let index = snapshot.policy.place(cluster, session);
        let Some(member) = index.and_then(|index| cluster.members().get(index)) else { break };
        // Another thread may take the last place between the policy's check and the lease.
        if let Some(lease) = member.lease() {
            return Ok(lease);
        }
    }
    any_place(snapshot, &Session { slow_start: SlowStartAccess::All, ..*session })
}

/// Jitters retries over one burst interval: otherwise all waiting sessions come back at the same moment, and only the
/// burst that is due then is admitted.
fn later(due: u64, quota: Quota, session: &Session<'_>) -> PickError {
    let burst = u128::from(quota.interval + quota.burst_tolerance);
    let jitter = (burst * u128::from(mix64(session.session_id))) >> 64;
    let at = Timestamp::from_millis(due.saturating_add(jitter as u64).div_ceil(1000));
    PickError::Later { at, reason: Wait::Admission }
}

/// Any free place, for a session that lost its races: no request is refused while a place is free. Each session starts
/// its scan at another upstream, or they would race again.
#[cold]
fn any_place(snapshot: &Snapshot, session: &Session<'_>) -> Result<Lease, PickError> {
    let members = snapshot.cluster.members();
    let mut error = PickError::Unavailable;
    let Some(start) = session.session_id.checked_rem(members.len() as u64) else { return Err(error) };
    let (before, after) = members.split_at(start as usize);
    for member in after.iter().chain(before).filter(|member| member.takes(session)) {
        match member.lease() {
            Some(lease) => return Ok(lease),
            None => error = PickError::Full,
        }
    }
    Err(error)
}
