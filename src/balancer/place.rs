//! Where a session goes that does not come home: by the policy where it begins, along its own order where it is
//! displaced.

use super::{Balancer, PickError, Request, Snapshot, Wait};
use crate::affinity::failover_target;
use crate::cluster::{Lease, Member, PinLoss, Quota, Session, SlowStartAccess};
use crate::hash::mix64;
use crate::health::Failover;
use crate::time::Timestamp;

/// How often a pick asks the policy before it takes any place: it may lose a race for an upstream's last one.
const RACES: usize = 4;

/// Microseconds by which threads' clocks may be apart. Beyond, a clock has gone back.
pub(super) const JUMP: u64 = 1_000_000;

/// At which pace upstreams take displaced sessions, in microseconds; a quarter of a second's worth at once.
pub(super) fn admission(failover: Failover) -> Option<Quota> {
    let rate = u64::from(failover.rate);
    let interval = 1_000_000_u64.checked_div(rate)?;
    Some(Quota { interval, burst_tolerance: interval * (rate / 4).saturating_sub(1) })
}

impl Balancer {
    /// A place for a session that does not come home.
    pub(super) fn place(
        &self,
        snapshot: &Snapshot,
        session: &Session<'_>,
        loss: Option<PinLoss>,
        request: &Request<'_>,
    ) -> Result<Lease, PickError> {
        match loss {
            Some(loss) if loss.is_displaced() => self.place_displaced(snapshot, session, request),
            _ if self.is_slow_starting(session.now) => {
                let limited = self.limit_slow_start(snapshot, session, true);
                let lease = place_new(snapshot, &limited)?;
                lease.upstream().lifecycle().took(limited.slow_start);
                Ok(lease)
            }
            _ => place_new(snapshot, session),
        }
    }

    #[cold]
    fn place_displaced(
        &self,
        snapshot: &Snapshot,
        session: &Session<'_>,
        request: &Request<'_>,
    ) -> Result<Lease, PickError> {
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
}

impl Snapshot {
    /// Counts a displaced session that is about to move to `member`, unless it is to wait.
    #[cold]
    fn admit(&self, member: &Member, session: &Session<'_>) -> Result<(), PickError> {
        let Some(quota) = self.settings.admission else { return Ok(()) };
        let gcra = member.upstream().lifecycle().admission();
        gcra.pass(micros(session.now), quota, JUMP).map_err(|due| later(due, quota, session))
    }

    /// What [`admit`](Self::admit) would say.
    pub(super) fn admission_of(&self, member: &Member, session: &Session<'_>) -> Result<(), PickError> {
        let Some(quota) = self.settings.admission else { return Ok(()) };
        match member.upstream().lifecycle().admission().wait(micros(session.now), quota, JUMP) {
            Some(due) => Err(later(due, quota, session)),
            None => Ok(()),
        }
    }
}

fn place_new(snapshot: &Snapshot, session: &Session<'_>) -> Result<Lease, PickError> {
    let cluster = &snapshot.cluster;
    for _ in 0..RACES {
        let index = snapshot.policy.place(cluster, session);
        let Some(member) = index.and_then(|index| cluster.members().get(index)) else { break };
        // Between the policy's look and the lease another thread may take the last place.
        if let Some(lease) = member.lease() {
            return Ok(lease);
        }
    }
    any_place(snapshot, &Session { slow_start: SlowStartAccess::All, ..*session })
}

pub(super) fn micros(now: Timestamp) -> u64 {
    now.as_millis().saturating_mul(1000)
}

/// Those who wait ask again at moments of their own, over the time in which as many as pass at once come due. Were it
/// all at once, all but one would have come for nothing.
fn later(due: u64, quota: Quota, session: &Session<'_>) -> PickError {
    let over = u128::from(quota.interval + quota.burst_tolerance);
    let own = (over * u128::from(mix64(session.session_id))) >> 64;
    let at = Timestamp::from_millis(due.saturating_add(own as u64).div_ceil(1000));
    PickError::Later { at, reason: Wait::Admission }
}

/// Whatever place there is, for a session that lost its races: while any is free nobody is refused. Sessions begin
/// at different upstreams, or they would race again.
#[cold]
fn any_place(snapshot: &Snapshot, session: &Session<'_>) -> Result<Lease, PickError> {
    let members = snapshot.cluster.members();
    let start = (session.session_id % members.len() as u64) as usize;
    let mut refusal = PickError::Unavailable;
    for member in members[start..].iter().chain(&members[..start]).filter(|m| m.takes(session)) {
        match member.lease() {
            Some(lease) => return Ok(lease),
            None => refusal = PickError::Full,
        }
    }
    Err(refusal)
}
