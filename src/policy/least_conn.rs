//! Least connections: the fewest requests in flight, by weight.
//!
//! Exact over the whole cluster, as nginx's and HAProxy's `leastconn` are; among equals the smooth weighted turns
//! of [`RoundRobin`] decide, so that an idle cluster is filled in turn and not from its first upstream on.

use super::{Policy, RoundRobin};
use crate::cluster::{Cluster, Session};

/// The fewest in flight by weight. One scan of the cluster's counters a pick.
#[derive(Debug)]
pub struct LeastConn {
    ties: RoundRobin,
}

impl LeastConn {
    /// For `cluster`; costs what [`RoundRobin::new`] does.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self { ties: RoundRobin::new(cluster) }
    }
}

impl Policy for LeastConn {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        least(cluster, session, self.ties.next())
    }

    fn peek(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        least(cluster, session, self.ties.upcoming())
    }
}

/// The first of the least loaded that accept, from `start` on.
fn least(cluster: &Cluster, session: &Session<'_>, start: usize) -> Option<usize> {
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
    use crate::policy::conformance::{cluster, conforms, session};
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

    proptest! {
        /// Against the definition: nothing that accepts has less in flight by weight.
        #[test]
        fn nothing_lighter_was_passed_over(
            weights in prop::collection::vec(1_u16..100, 1..20),
            loads in prop::collection::vec(0_usize..20, 20),
            down in prop::collection::vec(any::<bool>(), 20),
        ) {
            let cluster = cluster(&weights);
            let mut leases = Vec::new();
            for (index, member) in cluster.members().iter().enumerate() {
                leases.extend((0..loads[index]).map(|_| member.lease().unwrap()));
                if down[index] {
                    member.upstream().set_health(crate::Health::DOWN);
                }
            }
            let relative = |i: usize| loads[i] as f64 / f64::from(weights[i]);
            let accepting: Vec<usize> = (0..weights.len()).filter(|i| !down[*i]).collect();
            let least = accepting.iter().map(|i| relative(*i)).fold(f64::INFINITY, f64::min);
            match LeastConn::new(&cluster).place(&cluster, &session(1)) {
                Some(index) => prop_assert!(!down[index] && relative(index) <= least),
                None => prop_assert!(accepting.is_empty()),
            }
        }
    }
}
