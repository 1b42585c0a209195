//! Least connections: the fewest requests in flight, by weight.
//!
//! Exact over the whole cluster, like `leastconn` of nginx and HAProxy: no accepting upstream has fewer in flight by
//! weight than the one picked, except for what other threads do during the pick. Among equals the smooth weighted turns
//! of [`RoundRobin`] decide, as in nginx, so that an idle cluster fills in turn and not from its first upstream on.
//!
//! A small cluster is scanned; in a larger one leases keep the load index as they come and go, and a pick reads it:
//! see [`ordered`]. The documentation of [`LeastConn`] has the rationale.

mod ordered;

use super::{Policy, RoundRobin};
use crate::cluster::{Cluster, Session};
use ordered::Ordered;

/// Up to this many upstreams a scan costs no more than the index.
const SCANNED: usize = 64;

/// The fewest requests in flight by weight.
///
/// Up to 64 upstreams a pick scans them. Above, its cost grows with the number of different weights alone, and a lease
/// costs two more atomic operations when it is taken and when it is dropped. Upstreams that are at their limit, do not
/// accept or were tried before cost a pick next to nothing. A pick scans nevertheless where no upstream can take the
/// session; where there are fewer than eight upstreams to a weight; where over a million requests are in flight; and
/// where three other such policies exist for upstreams of this cluster, which takes a host that keeps old
/// [snapshots](crate::Balancer::cluster).
///
#[doc = include_str!("least_conn/rationale.md")]
#[derive(Debug)]
pub struct LeastConn {
    ties: RoundRobin,
    ordered: Option<Ordered>,
}

impl LeastConn {
    /// For `cluster`; costs what [`RoundRobin::new`] does. Above 64 upstreams the load index takes 256 KiB, which the
    /// upstreams share and keep; again for a second policy that exists at the same time, and a third.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let ordered = if cluster.len() > SCANNED { Ordered::new(cluster) } else { None };
        Self { ties: RoundRobin::new(cluster), ordered }
    }

    /// The least of all that accept, of equals the first from `start` on.
    fn least(&self, cluster: &Cluster, session: &Session<'_>, start: usize) -> Option<usize> {
        let found = self.ordered.as_ref().and_then(|ordered| ordered.place(cluster, session, start));
        found.or_else(|| scan(cluster, session, start))
    }
}

impl Policy for LeastConn {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.least(cluster, session, self.ties.next())
    }

    fn peek(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.least(cluster, session, self.ties.upcoming())
    }
}

/// The definition: the least of all that accept, of equals the first from `start` on.
fn scan(cluster: &Cluster, session: &Session<'_>, start: usize) -> Option<usize> {
    let mut best: Option<(usize, u64, u64)> = None;
    for index in (start..cluster.len()).chain(0..start) {
        let member = &cluster.members()[index];
        let (load, weight) = (u64::from(member.upstream().in_flight()), u64::from(member.weight()));
        let fewer = best.is_none_or(|(_, least, its_weight)| load * its_weight < least * weight);
        if fewer && cluster.accepts(index, session) {
            best = Some((index, load, weight));
        }
    }
    best.map(|(index, ..)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{IndexSlot, Lease, UpstreamId};
    use crate::hash::mix64;
    use crate::policy::conformance::{cluster, conforms, limited_cluster, session};
    use proptest::prelude::*;

    conforms!(LeastConn);

    #[test]
    fn an_idle_cluster_is_filled_in_weighted_turns() {
        let cluster = cluster(&[3, 1]);
        let policy = LeastConn::new(&cluster);
        let mut counts = [0; 2];
        for _ in 0..400 {
            counts[policy.place(&cluster, &session(0)).unwrap()] += 1;
        }
        assert_eq!(counts, [300, 100]);
    }

    #[test]
    fn bitmaps_are_reused_and_without_one_a_pick_scans() {
        let cluster = cluster(&[1; 100]);
        let mut policies: Vec<_> = (0..4).map(|_| LeastConn::new(&cluster)).collect();
        let ordered = |policies: &[LeastConn]| policies.iter().map(|p| p.ordered.is_some()).collect::<Vec<_>>();
        assert_eq!(ordered(&policies), [true, true, true, false]);
        policies.remove(1);
        // A policy with a bitmap sees all leases, and one that takes it over finds nothing of the policy before.
        let mut leases = Vec::new();
        for round in 0..10 {
            policies.push(LeastConn::new(&cluster));
            assert_eq!(ordered(&policies), [true, true, false, true], "round {round}");
            for turn in 0..30 {
                let policy = &policies[turn % 4];
                let placed = policy.place(&cluster, &session(0)).unwrap();
                leases.push(cluster.members()[placed].lease().unwrap());
            }
            let loads = || cluster.members().iter().map(|m| m.upstream().in_flight());
            assert!(loads().max() <= loads().min().map(|least| least + 1));
            policies.pop();
            leases.truncate(leases.len() - 7);
        }
    }

    /// A cluster, what is in flight on it, and what else keeps sessions from its members.
    #[derive(Debug)]
    struct Case {
        cluster: Cluster,
        tried: Vec<UpstreamId>,
        leases: Vec<Lease>,
    }

    /// Of `size` upstreams with up to `kinds` different weights; `chance` makes the rest.
    fn case(size: usize, kinds: u64, chance: u64) -> Case {
        let draw = |what: u64, index: usize, below: u64| mix64(chance ^ mix64(what << 32 ^ index as u64)) % below;
        let weight = |index| 1 + mix64(draw(0, index, kinds) ^ chance) % 100;
        let limit = |index| if draw(1, index, 4) == 0 { 1 + draw(2, index, 6) } else { 0 };
        let weights: Vec<u16> = (0..size).map(|index| weight(index) as u16).collect();
        let cluster = limited_cluster(&weights, |index| limit(index) as u32);
        let tried = cluster.members().iter().enumerate().filter(|(i, _)| draw(3, *i, size as u64) < 3);
        let tried = tried.map(|(_, member)| member.upstream().id()).collect();
        Case { cluster, tried, leases: Vec::new() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Against the definition, ties included, while leases come and go and availability changes.
        #[test]
        fn the_order_tells_what_a_scan_would(
            (size, kinds) in (prop_oneof![Just(1), 1_u64..12], 0_usize..300)
                // With fewer upstreams to a weight there would be no order.
                .prop_map(|(kinds, more)| (kinds as usize * 8 + more, kinds)),
            levels in prop_oneof![Just(IndexSlot::MAX_LEVELS), 1_usize..6],
            chance: u64,
            steps in prop::collection::vec((0_u8..10, any::<u64>()), 1..400),
        ) {
            let mut case = case(size, kinds, chance);
            let order = Ordered::with_levels(&case.cluster, levels).unwrap();
            let turns = RoundRobin::new(&case.cluster);
            for (step, random) in steps {
                let member = &case.cluster.members()[(random % size as u64) as usize];
                match step {
                    0 => member.upstream().set_availability(crate::Availability::DOWN),
                    1 => member.upstream().set_availability(crate::Availability::ACTIVE),
                    2..5 if !case.leases.is_empty() => {
                        case.leases.swap_remove((random % case.leases.len() as u64) as usize);
                    }
                    // Leases that affinity takes, regardless of the policy.
                    5 => case.leases.extend(member.lease()),
                    _ => {
                        let tried = if random % 3 == 0 { &case.tried[..] } else { &[] };
                        let session = Session { tried, ..session(random) };
                        let start = turns.next();
                        let placed = order.place(&case.cluster, &session, start);
                        let scanned = scan(&case.cluster, &session, start);
                        // With few levels the least may be at the last, where the order cannot tell.
                        let told = placed.is_some() || levels == IndexSlot::MAX_LEVELS;
                        prop_assert_eq!(if told { placed } else { scanned }, scanned);
                        let placed = placed.or(scanned);
                        case.leases.extend(placed.map(|index| case.cluster.members()[index].lease().unwrap()));
                    }
                }
            }
        }
    }
}
