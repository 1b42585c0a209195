//! The power of two choices: draw two by weight, take the less loaded.
//!
//! Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (IEEE TPDS 12(10), 2001): two draws reduce
//! the highest load from log n / log log n to log log n. HAProxy's `random` works the same way, and as there, the
//! recent rate breaks ties; otherwise every tie of an idle cluster would be decided by chance.

use super::Policy;
use super::random::{Random, scan, stream};
use crate::cluster::{Cluster, Member, Session};

/// The less loaded by weight of two drawn by weight. Four table reads and two counter reads a pick.
#[derive(Debug)]
pub struct P2c {
    table: Random,
}

impl P2c {
    /// The table for `cluster`, in time linear in its size.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self { table: Random::new(cluster) }
    }

    /// Two different upstreams where the weights let them be drawn apart within a few draws.
    pub(super) fn pair(&self, session_id: u64) -> (usize, usize) {
        let first = self.table.draw(stream(session_id, 0));
        let second = (1..4).map(|n| self.table.draw(stream(session_id, n))).find(|other| *other != first);
        (first, second.unwrap_or(first))
    }
}

impl Policy for P2c {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let (a, b) = self.pair(session.session_id);
        match (cluster.accepts(a, session), cluster.accepts(b, session)) {
            (true, true) => Some(if lighter(cluster, b, a, session) { b } else { a }),
            (true, false) => Some(a),
            (false, true) => Some(b),
            (false, false) => scan(cluster, session),
        }
    }
}

/// Whether `a` has less in flight by weight than `b`, or as much and was chosen less in the current second.
pub(super) fn lighter(cluster: &Cluster, a: usize, b: usize, session: &Session<'_>) -> bool {
    let [a, b] = [a, b].map(|index| &cluster.members()[index]);
    let by_weight = |mine: u64, other_weight: u16| mine * u64::from(other_weight);
    let load = |m: &Member| u64::from(m.upstream().in_flight());
    let recent = |m: &Member| m.upstream().recent(session.now);
    let (ours, theirs) = (by_weight(load(a), b.weight()), by_weight(load(b), a.weight()));
    ours < theirs || (ours == theirs && by_weight(recent(a), b.weight()) < by_weight(recent(b), a.weight()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::conformance::{cluster, conforms, session};

    conforms!(P2c);

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        let cluster = cluster(&[1, 1]);
        let policy = P2c::new(&cluster);
        let _busy = cluster.members()[0].lease();
        for session_id in 0..1000 {
            let (a, b) = policy.pair(session(session_id).session_id);
            let placed = policy.place(&cluster, &session(session_id));
            assert_eq!(placed, Some(if a == b { a } else { 1 }));
        }
    }

    #[test]
    fn ties_are_broken_by_the_recent_rate() {
        let cluster = cluster(&[1; 10]);
        let policy = P2c::new(&cluster);
        let mut counts = [0_i32; 10];
        for session_id in 0..10_000 {
            let index = policy.place(&cluster, &session(session_id)).unwrap();
            drop(cluster.members()[index].lease());
            counts[index] += 1;
        }
        // Coin tosses would spread by some hundred (three standard deviations); two choices keep within a few.
        assert!(counts.iter().all(|count| (count - 1000).abs() < 20), "{counts:?}");
    }
}
