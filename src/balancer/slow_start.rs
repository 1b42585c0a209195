//! Slow start for any policy: an upstream in slow start counts as not accepting, except for its share of the sessions.
//!
//! Under a policy that places by load, an upstream of weight w and fraction f gets at most its share w·f / Σ w·f of all
//! placements: placements are counted, and the upstream is skipped until its next turn is due. A policy that places by
//! key would thereby place one key now here, now there. So a keyed policy sees the upstream accept a fraction f of all
//! keys, those with the lowest hashes, and each key moves to it once. What matters is f relative to the largest: where
//! all upstreams are in slow start alike, none is limited.

use super::snapshot::Snapshot;
use crate::cluster::{Cluster, Member, Session, SlowStartAccess, SlowStartShare};
use crate::health::SlowStart;
use crate::policy::point;
use crate::time::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(super) struct SlowStartState {
    /// When the last slow start ends, in milliseconds: all that a pick reads while none is under way.
    until: AtomicU64,
    turns: Turns,
}

/// Placements during slow start. On a cache line of its own, since each placement writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Turns(AtomicU64);

impl SlowStartState {
    /// Whether any upstream is in slow start.
    #[inline]
    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        self.until.load(Ordering::Relaxed) > now.as_millis()
    }

    /// The session with access to the upstreams in slow start whose share it falls into. `counts`: the placement takes
    /// a turn.
    #[cold]
    pub(super) fn limit<'a>(&self, snapshot: &Snapshot, session: &Session<'a>, counts: bool) -> Session<'a> {
        let turns = &self.turns.0;
        let access = match (snapshot.policy.is_keyed(), counts) {
            (true, _) => SlowStartAccess::Key(point(session)),
            (false, true) => SlowStartAccess::Turn(turns.fetch_add(1, Ordering::Relaxed)),
            (false, false) => SlowStartAccess::Turn(turns.load(Ordering::Relaxed)),
        };
        let limited = Session { slow_start: access, ..*session };
        let cluster = &snapshot.cluster;
        let Some(start) = session.session_id.checked_rem(cluster.len() as u64) else { return *session };
        let start = start as usize;
        // Slow start refuses no request. Usually the first upstream that is checked accepts.
        let any = (start..cluster.len()).chain(0..start).any(|index| cluster.accepts(index, &limited));
        if any { limited } else { *session }
    }

    /// Works out the share of each upstream in slow start. Call with the health lock held, or an update that read older
    /// state may overwrite a newer one.
    pub(super) fn update(&self, slow_start: SlowStart, cluster: &Cluster, now: Timestamp) {
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
        let is_active = least < most;
        if !is_active && self.until.load(Ordering::Relaxed) == 0 {
            return;
        }
        for member in cluster.members() {
            let share = fraction(member).filter(|fraction| *fraction < most).map(|fraction| SlowStartShare {
                keys: fraction / most,
                interval: sum / (fraction * f64::from(member.weight())),
            });
            member.upstream().lifecycle().set_share(share);
        }
        // So it ends even where the host stops calling `tick`.
        let until = if is_active { now.after(slow_start.window).as_millis() } else { 0 };
        self.until.store(until, Ordering::Relaxed);
    }
}
