//! What nginx's `ip_hash` and `hash` share: a hash is a point on the weights laid end to end in the order of
//! configuration, including servers that are down. Where that server cannot take the request, the hash is continued
//! for another round; after twenty-one rounds, or with a single server, round robin decides.

use super::RoundRobin;
use crate::cluster::{Cluster, Session};

/// How many servers nginx tries: it gives up at the 21st failure.
pub(super) const TRIES: u8 = 21;

#[derive(Debug)]
pub(super) struct Rounds {
    /// The sum of weights up to and with each upstream.
    upto: Box<[u64]>,
    /// What decides after the last round.
    pub(super) turns: RoundRobin,
}

impl Rounds {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let upto = cluster.members().iter().scan(0, |sum, member| {
            *sum += u64::from(member.weight());
            Some(*sum)
        });
        Self { upto: upto.collect(), turns: RoundRobin::new(cluster) }
    }

    /// The first upstream that accepts, of those that `hash` gives for the rounds from 0 on.
    pub(super) fn find(
        &self,
        cluster: &Cluster,
        session: &Session<'_>,
        mut hash: impl FnMut(u8) -> u32,
    ) -> Option<usize> {
        let tries = if cluster.len() < 2 { 0 } else { TRIES };
        (0..tries)
            .map(|round| u64::from(hash(round)) % cluster.total_weight())
            .map(|point| self.upto.partition_point(|upto| *upto <= point))
            .find(|index| cluster.accepts(*index, session))
    }
}
