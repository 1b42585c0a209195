//! Which sessions move from crowded upstreams to those with room: see [`affinity::rebalance`](crate::affinity::Rebalance).

use super::place::{JUMP, micros};
use super::{Balancer, Request, Snapshot};
use crate::affinity::{Candidate, Claims, Rank, Rebalance, Veto};
use crate::cluster::{Cluster, Gcra, Lease, Member, Quota};
use crate::hash::mix64;
use crate::time::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// By how much more than its share an upstream holds when it becomes crowded, and when it no longer is. Between the two
/// nothing begins, so that what has been moved is not moved on.
const CROWDED: f64 = 0.10;
const EVEN: f64 = 0.05;

/// Fewer sessions than this above the share are chance.
const FEW: f64 = 4.0;

/// How sessions are moved, where they are.
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

/// How far that is.
#[derive(Default)]
pub(super) struct RebalanceState {
    budget: Gcra,
    /// Of the lots that are drawn.
    salt: AtomicU64,
    is_under_way: AtomicBool,
}

impl RebalanceState {
    /// Nobody is to be moved any more.
    pub(super) fn end(&self, cluster: &Cluster) {
        for member in cluster.members() {
            member.upstream().lifecycle().imbalance().excess.store(0, Ordering::Relaxed);
        }
        self.is_under_way.store(false, Ordering::Relaxed);
    }

    /// Works out who is crowded and who has room, in time linear in the upstreams. Live sessions are counted in windows of
    /// this length.
    pub(super) fn weigh(&self, quota: Quota, cluster: &Cluster, window: Duration, now: Timestamp) {
        // Counted once: an estimate looks at a whole map.
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
            // So many of its sessions have one with room before it in their order.
            let ahead = room / (room + f64::from(member.weight()));
            // Of those that may move at all.
            let movable = (live - upstream.guarded_sessions() as f64).max(0.0);
            let part = ((above / (movable * ahead)).clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32;
            let is_crowded = above > (CROWDED * share).max(FEW);
            let drawn_at = Timestamp::from_millis(imbalance.drawn_at.load(Ordering::Relaxed));
            let before = imbalance.excess.load(Ordering::Relaxed);
            let excess = match before {
                // What was moved there is not moved on, unless the cluster changes.
                _ if !upstream.availability().accepting || imbalance.is_filled.load(Ordering::Relaxed) => 0,
                0 if is_crowded => part,
                0 => 0,
                _ if above <= EVEN * share => 0,
                // All that were drawn have gone, and what other proxies have moved is known here too.
                _ if is_crowded && now.since(drawn_at) > 3 * window && !upstream.is_leaving(now) => {
                    before.saturating_add(part)
                }
                // What was drawn stands, or those who see less of what moves would draw others.
                _ => before.max(part),
            };
            if excess > before {
                imbalance.drawn_at.store(now.as_millis(), Ordering::Relaxed);
            }
            imbalance.excess.store(excess, Ordering::Relaxed);
            imbalance.has_room.store(above < 0.0, Ordering::Relaxed);
            any |= excess > 0;
        }
        let at = micros(now);
        let clock_went_back = self.budget.is_beyond(at, quota, JUMP);
        // What lay unspent while nobody was crowded is no budget.
        if (any && !self.is_under_way.load(Ordering::Relaxed)) || clock_went_back {
            self.budget.start(at);
        }
        self.is_under_way.store(any, Ordering::Relaxed);
    }

    /// Where a session of a crowded upstream is to go, if it is to go now.
    fn target<'c>(
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
        let rank = Rank::new(claims, self.salt.load(Ordering::Relaxed), request.now);
        let since = micros(request.now).saturating_sub(rank.patience(settings.quota));
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

    /// A place where a session is to go.
    #[cold]
    fn rebalance(
        &self,
        settings: &RebalanceSettings,
        cluster: &Cluster,
        claims: &Claims,
        pinned: &Member,
        request: &Request<'_>,
    ) -> Option<Lease> {
        let target = self.target(settings, cluster, claims, pinned, request)?;
        // Another thread may have spent what was left, or taken the last place.
        self.budget.pass(micros(request.now), settings.quota, JUMP).ok()?;
        let lease = target.lease()?;
        target.upstream().lifecycle().imbalance().is_filled.store(true, Ordering::Relaxed);
        pinned.upstream().move_away(claims.session_id, request.now);
        Some(lease)
    }
}

impl Balancer {
    /// Where a session is to go that could come home to `home`, if it is to be moved now.
    pub(super) fn rebalance_target<'s>(
        &self,
        snapshot: &'s Snapshot,
        claims: &Claims,
        pinned: &Member,
        request: &Request<'_>,
    ) -> Option<&'s Member> {
        self.rebalance_state.target(snapshot.settings.rebalance.as_ref()?, &snapshot.cluster, claims, pinned, request)
    }

    /// A place there. Most balancers move nobody, and every pinned pick asks.
    #[inline]
    pub(super) fn rebalance(
        &self,
        snapshot: &Snapshot,
        claims: &Claims,
        pinned: &Member,
        request: &Request<'_>,
    ) -> Option<Lease> {
        self.rebalance_state.rebalance(
            snapshot.settings.rebalance.as_ref()?,
            &snapshot.cluster,
            claims,
            pinned,
            request,
        )
    }
}
