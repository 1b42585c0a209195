//! Slow start, whatever the policy: an upstream that warms passes for one that does not accept, but for its part.
//!
//! A policy that goes by load gives an upstream of weight w and fraction f, of all placements, at most its share
//! w·f / Σ w·f; turns are counted, and it is passed over until its next one is due. One that goes by key would then place a
//! key now here, now there: it is asked as if the upstream had a fraction f of all keys, those that hash low enough, so that
//! each key moves there once. What matters is f beside that of the others: where all warm alike, nobody is spared.

use super::{Balancer, Snapshot};
use crate::cluster::{Cluster, Member, Session, SlowStartAccess, SlowStartShare};
use crate::health::SlowStart;
use crate::policy::point;
use crate::time::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(super) struct SlowStartState {
    /// When nobody warms any more, in milliseconds: the one look of a pick while that is long past.
    until: AtomicU64,
    turns: Turns,
}

/// Placements while somebody warms. On a cache line of its own: each writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Turns(AtomicU64);

impl Balancer {
    /// Whether anybody warms.
    pub(super) fn is_slow_starting(&self, now: Timestamp) -> bool {
        self.slow_start.until.load(Ordering::Relaxed) > now.as_millis()
    }

    /// The session as a policy is to see it while somebody warms: as one for whom those are not all open. For a pick that
    /// `counts` a turn is over.
    #[cold]
    pub(super) fn limit_slow_start<'a>(&self, snapshot: &Snapshot, session: &Session<'a>, counts: bool) -> Session<'a> {
        let turns = &self.slow_start.turns.0;
        let access = match (snapshot.policy.is_keyed(), counts) {
            (true, _) => SlowStartAccess::Key(point(session)),
            (false, true) => SlowStartAccess::Turn(turns.fetch_add(1, Ordering::Relaxed)),
            (false, false) => SlowStartAccess::Turn(turns.load(Ordering::Relaxed)),
        };
        let limited = Session { slow_start: access, ..*session };
        // Nobody is refused for the sake of slow start. Mostly the first that is looked at accepts.
        let (cluster, start) = (&snapshot.cluster, (session.session_id % snapshot.cluster.len() as u64) as usize);
        let any = (start..cluster.len()).chain(0..start).any(|index| cluster.accepts(index, &limited));
        if any { limited } else { *session }
    }

    /// Works out what each of those that warm may take. Call with the lock of health held, or it may be undone by one who
    /// knew less.
    pub(super) fn update_slow_start(&self, slow_start: SlowStart, cluster: &Cluster, now: Timestamp) {
        let fraction = |member: &Member| {
            let upstream = member.upstream();
            let since = upstream.lifecycle().slow_start_since();
            let fraction = since.map_or(1.0, |since| slow_start.fraction(now.since(since)));
            upstream.availability().accepting.then_some(fraction)
        };
        let (mut most, mut least, mut sum) = (0.0_f64, 1.0_f64, 0.0);
        for member in cluster.members() {
            if let Some(fraction) = fraction(member) {
                (most, least) = (most.max(fraction), least.min(fraction));
                sum += fraction * f64::from(member.weight());
            }
        }
        let is_slow_starting = least < most;
        if !is_slow_starting && self.slow_start.until.load(Ordering::Relaxed) == 0 {
            return;
        }
        for member in cluster.members() {
            let share = fraction(member).filter(|fraction| *fraction < most).map(|fraction| SlowStartShare {
                keys: fraction / most,
                interval: sum / (fraction * f64::from(member.weight())),
            });
            member.upstream().lifecycle().set_share(share);
        }
        // Where nobody lets time pass any more, this ends all the same.
        let until = if is_slow_starting { now.after(slow_start.window).as_millis() } else { 0 };
        self.slow_start.until.store(until, Ordering::Relaxed);
    }
}
