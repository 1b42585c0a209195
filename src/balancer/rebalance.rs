//! Rebalancing under way: which upstreams give sessions away, which have room, and which session moves now.
//! [`affinity::rebalance`](crate::affinity::Rebalance) has the algorithm.

use super::request::Request;
use crate::affinity::{Candidate, Claims, MoveRank, Rebalance, Veto};
use crate::cluster::{Cluster, Gcra, Lease, Member, Quota};
use crate::hash::mix64;
use crate::time::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// An upstream becomes overloaded at this excess over its share, and stops being so at [`EVEN`]. The gap is hysteresis:
/// what has been moved does not start another move.
const OVERLOADED: f64 = 0.10;
const EVEN: f64 = 0.05;

/// An excess of fewer sessions than this is chance.
const MIN_EXCESS: f64 = 4.0;

/// Rebalancing as configured.
#[derive(Clone)]
pub(super) struct RebalanceSettings {
    pub(super) quota: Quota,
    veto: Option<Veto>,
}

impl RebalanceSettings {
    /// `None` where there is no budget.
    pub(super) fn new(rebalance: Rebalance, veto: Option<Veto>) -> Option<Self> {
        Some(Self { quota: rebalance.quota()?, veto })
    }
}

/// The progress of rebalancing.
#[derive(Default)]
pub(super) struct RebalanceState {
    budget: Gcra,
    /// Salt of the hash that selects sessions.
    salt: AtomicU64,
    is_under_way: AtomicBool,
}

impl RebalanceState {
    /// No more sessions move.
    pub(super) fn end(&self, cluster: &Cluster) {
        for member in cluster.members() {
            member.upstream().lifecycle().imbalance().excess.store(0, Ordering::Relaxed);
        }
        self.is_under_way.store(false, Ordering::Relaxed);
    }

    /// Works out which upstreams are overloaded and which have room, in time linear in the upstreams. Live sessions are
    /// counted in windows of this length.
    pub(super) fn update(&self, quota: Quota, cluster: &Cluster, window: Duration, now: Timestamp) {
        // Estimated once each: an estimate reads a whole map.
        let resident = |member: &Member| f64::from(member.upstream().resident_sessions(now));
        let members: Vec<_> = cluster.members().iter().map(|member| (member, resident(member))).collect();
        let accepting = || members.iter().filter(|(member, _)| member.upstream().availability().accepting);
        let (mut sessions, mut weights, mut salt) = (0.0, 0.0, 0);
        for (member, live) in accepting() {
            sessions += live;
            weights += f64::from(member.weight());
            salt ^= mix64(member.upstream().id().as_u64() ^ mix64(u64::from(member.weight())));
        }
        let share = |member: &Member| sessions * f64::from(member.weight()) / weights;
        let with_room = accepting().filter(|(member, live)| *live < share(member));
        let room: f64 = with_room.map(|(member, _)| f64::from(member.weight())).sum();
        let is_changed = self.salt.swap(salt, Ordering::Relaxed) != salt;
        let mut any = false;
        for &(member, live) in &members {
            let upstream = member.upstream();
            let imbalance = upstream.lifecycle().imbalance();
            if is_changed {
                imbalance.is_filled.store(false, Ordering::Relaxed);
            }
            let share = share(member);
            let above = live - share;
            // The fraction of its sessions that have an upstream with room before it in their order.
            let ahead = room / (room + f64::from(member.weight()));
            // The sessions that may move at all.
            let movable = (live - upstream.guarded_sessions() as f64).max(0.0);
            let part = ((above / (movable * ahead)).clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32;
            let is_overloaded = above > (OVERLOADED * share).max(MIN_EXCESS);
            let drawn_at = Timestamp::from_millis(imbalance.drawn_at.load(Ordering::Relaxed));
            let before = imbalance.excess.load(Ordering::Relaxed);
            let excess = match before {
                // Sessions that were moved to it do not move on, unless the cluster changes.
                _ if !upstream.availability().accepting || imbalance.is_filled.load(Ordering::Relaxed) => 0,
                0 if is_overloaded => part,
                0 => 0,
                _ if above <= EVEN * share => 0,
                // All selected sessions have moved, and what other proxies moved has become visible here: select more.
                _ if is_overloaded && now.since(drawn_at) > 3 * window && !upstream.is_leaving(now) => {
                    before.saturating_add(part)
                }
                // The selection stands, or proxies that see fewer of the moves would select others.
                _ => before.max(part),
            };
            if excess > before {
                imbalance.drawn_at.store(now.as_millis(), Ordering::Relaxed);
            }
            imbalance.excess.store(excess, Ordering::Relaxed);
            imbalance.has_room.store(above < 0.0, Ordering::Relaxed);
            any |= excess > 0;
        }
        let at = now.as_micros();
        let clock_went_back = self.budget.is_beyond(at, quota);
        // Budget that was unspent while no upstream was overloaded does not accumulate.
        if (any && !self.is_under_way.load(Ordering::Relaxed)) || clock_went_back {
            self.budget.reset(at);
        }
        self.is_under_way.store(any, Ordering::Relaxed);
    }

    /// The upstream that a session pinned to `pinned` moves to, if it moves now.
    pub(super) fn target<'c>(
        &self,
        settings: &RebalanceSettings,
        cluster: &'c Cluster,
        claims: &Claims,
        pinned: &Member,
        request: &Request<'_>,
    ) -> Option<&'c Member> {
        let excess = pinned.upstream().lifecycle().imbalance().excess.load(Ordering::Relaxed);
        if excess == 0 {
            return None;
        }
        let rank = MoveRank::new(claims, self.salt.load(Ordering::Relaxed), request.now);
        let since = request.now.as_micros().saturating_sub(rank.required_budget(settings.quota));
        if rank.lot >= excess || !request.tried.is_empty() || !self.budget.is_due(since) {
            return None;
        }
        let session = request.session(claims.session_id);
        let pinned = pinned.upstream();
        if pinned.is_guarded(claims.session_id) {
            return None;
        }
        let has_room = |member: &Member| member.upstream().lifecycle().imbalance().has_room.load(Ordering::Relaxed);
        let index = cluster.first_in_order(claims.session_id, |index| {
            let member = &cluster.members()[index];
            member.upstream().id() == pinned.id() || (has_room(member) && cluster.accepts(index, &session))
        })?;
        let member = &cluster.members()[index];
        let candidate = Candidate {
            from: pinned,
            to: member.upstream(),
            idle: claims.idle(request.now),
            session_id: claims.session_id,
        };
        let stays = candidate.to.id() == pinned.id() || settings.veto.as_ref().is_some_and(|veto| veto(&candidate));
        (!stays).then_some(member)
    }

    /// A lease on the upstream that the session moves to, if it moves now.
    #[cold]
    pub(super) fn lease(
        &self,
        settings: &RebalanceSettings,
        cluster: &Cluster,
        claims: &Claims,
        pinned: &Member,
        request: &Request<'_>,
    ) -> Option<Lease> {
        let target = self.target(settings, cluster, claims, pinned, request)?;
        // Another thread may have spent the rest of the budget, or taken the last place.
        self.budget.admit(request.now.as_micros(), settings.quota).ok()?;
        let lease = target.lease()?;
        target.upstream().lifecycle().imbalance().is_filled.store(true, Ordering::Relaxed);
        pinned.upstream().move_away(claims.session_id, request.now);
        Some(lease)
    }
}
