//! Random placement by weight, in constant time.
//!
//! The table is Walker's alias method as Vose builds it (IEEE Transactions on Software Engineering 17(9), 1991):
//! a draw picks one of N equal slots, and the slot's threshold says whether it is the slot's own upstream or its
//! alias.

use super::Policy;
use crate::cluster::{Cluster, Session};
use crate::hash::{GOLDEN, mix64};

/// The most draws of upstreams that do not accept before a pick scans the cluster.
const DRAWS: u64 = 4;

/// At random, by weight. Two table reads a pick, from the session id.
#[derive(Debug)]
pub struct Random {
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Draws below this, of 2^32, select the slot's own upstream, others its alias.
    threshold: u32,
    alias: u16,
}

impl Random {
    /// The table for `cluster`, in time linear in its size.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let count = cluster.len();
        let mean = cluster.total_weight() as f64 / count as f64;
        let mut share: Vec<f64> = cluster.members().iter().map(|m| f64::from(m.weight()) / mean).collect();
        // An empty cluster has one slot as well, whose upstream does not exist and so accepts nothing.
        let own = |i: usize| Slot { threshold: u32::MAX, alias: i as u16 };
        let mut slots: Vec<Slot> = (0..count.max(1)).map(own).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..count).partition(|i| share[*i] < 1.0);
        while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
            small.pop();
            slots[poor] = Slot { threshold: (share[poor] * f64::from(u32::MAX)) as u32, alias: rich as u16 };
            share[rich] -= 1.0 - share[poor];
            if share[rich] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self { slots: slots.into() }
    }

    /// An upstream by weight from 64 random bits, whether it accepts or not.
    pub(super) fn draw(&self, random: u64) -> usize {
        let product = u128::from(random) * self.slots.len() as u128;
        let index = (product >> 64) as usize;
        let slot = self.slots[index];
        match ((product as u64) >> 32) as u32 <= slot.threshold {
            true => index,
            false => usize::from(slot.alias),
        }
    }
}

impl Policy for Random {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        (0..DRAWS)
            .map(|n| self.draw(stream(session.session_id, n)))
            .find(|index| cluster.accepts(*index, session))
            .or_else(|| scan(cluster, session))
    }
}

/// The n-th random number of a session's own stream.
pub(super) fn stream(session_id: u64, n: u64) -> u64 {
    mix64(session_id.wrapping_add(GOLDEN.wrapping_mul(n + 1)))
}

/// An exact draw by weight among those that accept, for when most do not: two passes over the cluster.
pub(super) fn scan(cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
    scan_with(cluster, session, stream(session.session_id, DRAWS))
}

/// The same draw from 64 bits of the caller's.
pub(super) fn scan_with(cluster: &Cluster, session: &Session<'_>, random: u64) -> Option<usize> {
    let members = || cluster.members().iter().enumerate().filter(|(i, _)| cluster.accepts(*i, session));
    let total: u64 = members().map(|(_, m)| u64::from(m.weight())).sum();
    let mut at = ((u128::from(random) * u128::from(total)) >> 64) as u64;
    let mut last = None;
    for (index, member) in members() {
        if at < u64::from(member.weight()) {
            return Some(index);
        }
        at -= u64::from(member.weight());
        last = Some(index);
    }
    // Availability may change between the passes; then the last upstream that still accepts is taken.
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::conformance::{cluster, conforms, session};

    conforms!(Random);

    #[test]
    fn shares_follow_weights() {
        let weights = [1, 2, 3, 4, 90];
        let cluster = cluster(&weights);
        let policy = Random::new(&cluster);
        let mut counts = [0_u32; 5];
        for session_id in 0..100_000 {
            counts[policy.place(&cluster, &session(session_id)).unwrap()] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let expected = f64::from(weight) * 1000.0;
            // Five standard deviations of a binomial count.
            assert!((f64::from(*count) - expected).abs() < 5.0 * expected.sqrt(), "{counts:?}");
        }
    }

    #[test]
    fn the_last_that_accepts_is_found() {
        let cluster = cluster(&[1; 1000]);
        for member in &cluster.members()[..999] {
            member.upstream().set_availability(crate::Availability::DOWN);
        }
        assert_eq!(Random::new(&cluster).place(&cluster, &session(7)), Some(999));
    }
}
