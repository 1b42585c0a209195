//! Smooth weighted round robin, in nginx's order.
//!
//! nginx (`ngx_http_upstream_round_robin.c`) adds each weight to a running score, takes the highest and subtracts
//! the sum of weights from it: weights 5, 1, 1 give `aabacaa`, where plain turns would give `aaaaabc`. The order
//! repeats after (sum of weights / their common divisor) turns, so here it is computed once and a turn is one
//! atomic addition: no lock, and no scan of the upstreams.

use super::Policy;
use super::random::scan;
use crate::cluster::{Cluster, Session};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The longest sequence that is kept, two bytes a turn. Weights with a longer one are scaled down, which changes a
/// share by less than 1/65536 of all, and gives the smallest at least one turn.
const MAX_TURNS: u64 = 1 << 16;

/// How many turns in a row may be skipped because their upstreams do not accept. A heavy one that is down has tens of
/// thousands, and racing threads may see only such turns for ever.
const MAX_SKIPPED: usize = 16;

/// Smooth weighted round robin. One atomic addition a pick; an upstream that accepts nothing passes its turn to the
/// next in the sequence, and where many do not accept, a draw by weight among the others decides.
#[derive(Debug)]
pub struct RoundRobin {
    order: Box<[u16]>,
    turn: Turn,
}

/// On its own cache line: every thread that places adds to it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Turn(AtomicUsize);

impl RoundRobin {
    /// The sequence for `cluster`. Costs turns times distinct weights, at worst some 40 ms.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let weights: Vec<u64> = cluster.members().iter().map(|m| u64::from(m.weight())).collect();
        Self::of(&weights, MAX_TURNS)
    }

    /// Round robin by these weights, whose sequence has about `max_turns` turns at most.
    pub(super) fn of(weights: &[u64], max_turns: u64) -> Self {
        let order = match weights {
            // The turn of an upstream that does not exist, and so accepts nothing.
            [] => [0].into(),
            _ => smooth_order(&scaled(weights, max_turns)),
        };
        Self { order, turn: Turn::default() }
    }

    /// Takes the next turn: the index of its upstream, whether it accepts or not.
    pub(super) fn next(&self) -> usize {
        self.at(self.turn.0.fetch_add(1, Ordering::Relaxed))
    }

    /// The index of the upstream of the next turn, without taking the turn.
    pub(super) fn upcoming(&self) -> usize {
        self.at(self.turn.0.load(Ordering::Relaxed))
    }

    /// The index of the upstream of turn number `turn`.
    fn at(&self, turn: usize) -> usize {
        usize::from(self.order[turn % self.order.len()])
    }
}

impl Policy for RoundRobin {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        // A skipped turn is consumed: the next in the sequence gets this session, but not every later one too.
        (0..MAX_SKIPPED)
            .map(|_| self.next())
            .find(|index| cluster.accepts(*index, session))
            .or_else(|| scan(cluster, session))
    }

    fn peek(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let turn = self.turn.0.load(Ordering::Relaxed);
        (0..MAX_SKIPPED)
            .map(|skipped| self.at(turn.wrapping_add(skipped)))
            .find(|index| cluster.accepts(*index, session))
            .or_else(|| scan(cluster, session))
    }
}

/// The weights divided by their common divisor, and scaled down if the sequence would be too long.
fn scaled(weights: &[u64], max_turns: u64) -> Vec<u64> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let sum: u64 = weights.iter().sum::<u64>() / divisor;
    let scale = |w: &u64| match sum <= max_turns {
        true => w / divisor,
        false => (w / divisor * max_turns / sum).max(1),
    };
    weights.iter().map(scale).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Upstreams of one weight, which take turns: the one taken least often is next, the first among equals.
struct Queue {
    weight: i64,
    /// nginx's running score of the next upstream: turns so far times its weight, less the sum of weights for each time
    /// it was taken.
    score: i64,
    members: Vec<u16>,
    next: usize,
}

/// nginx's sequence for one whole period.
///
/// At turn t an upstream of weight w that was taken c times scores t·w - c·sum, and the highest is taken, the
/// first of equals. So a turn compares the heads of one queue per distinct weight instead of all upstreams.
fn smooth_order(weights: &[u64]) -> Box<[u16]> {
    let mut by_weight: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
    for (index, weight) in (0_u16..).zip(weights) {
        by_weight.entry(*weight).or_default().push(index);
    }
    let queue = |(weight, members)| Queue { weight: weight as i64, score: 0, members, next: 0 };
    let mut queues: Vec<Queue> = by_weight.into_iter().map(queue).collect();
    let sum: u64 = weights.iter().sum();
    let turn = |_| {
        // Two passes, because this loop runs `sum` times and the first pass is short.
        let raised = queues.iter_mut().map(|queue| {
            queue.score += queue.weight;
            queue.score
        });
        let highest = raised.max()?;
        let equals = queues.iter_mut().filter(|queue| queue.score == highest);
        let best = equals.min_by_key(|queue| queue.members[queue.next])?;
        let taken = best.members[best.next];
        best.next += 1;
        if best.next == best.members.len() {
            best.next = 0;
            best.score -= sum as i64;
        }
        Some(taken)
    };
    (0..sum).filter_map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::conformance::{cluster, conforms, session};
    use proptest::prelude::*;

    conforms!(RoundRobin);

    /// nginx's loop as documented: scans all peers each turn.
    fn naive_order(weights: &[u64]) -> Vec<u16> {
        let sum = weights.iter().sum::<u64>() as i64;
        let mut current = vec![0_i64; weights.len()];
        (0..sum)
            .map(|_| {
                let mut best = 0;
                for i in 0..weights.len() {
                    current[i] += weights[i] as i64;
                    if current[i] > current[best] {
                        best = i;
                    }
                }
                current[best] -= sum;
                best as u16
            })
            .collect()
    }

    #[test]
    fn five_one_one_is_nginx_documented_sequence() {
        let policy = RoundRobin::new(&cluster(&[5, 1, 1]));
        let letters: String = policy.order.iter().map(|i| char::from(b'a' + *i as u8)).collect();
        assert_eq!(letters, "aabacaa");
    }

    #[test]
    fn weights_in_common_are_divided_out() {
        assert_eq!(*RoundRobin::new(&cluster(&[600, 200])).order, [0, 0, 1, 0]);
    }

    #[test]
    fn a_down_upstream_gives_its_turns_to_all() {
        let cluster = cluster(&[1, 1, 1, 1]);
        cluster.members()[1].upstream().set_availability(crate::Availability::DOWN);
        let policy = RoundRobin::new(&cluster);
        let mut counts = [0; 4];
        for _ in 0..3000 {
            counts[policy.place(&cluster, &session(0)).unwrap()] += 1;
        }
        assert_eq!(counts, [1000, 0, 1000, 1000]);
    }

    #[test]
    fn the_turns_of_a_heavy_upstream_that_is_down_are_not_gone_through() {
        let cluster = cluster(&[65533, 1, 2]);
        cluster.members()[0].upstream().set_availability(crate::Availability::DOWN);
        let policy = RoundRobin::new(&cluster);
        let mut counts = [0_usize; 3];
        for session_id in 0..3000 {
            counts[policy.place(&cluster, &session(session_id)).unwrap()] += 1;
        }
        assert!(policy.turn.0.into_inner() <= 3000 * MAX_SKIPPED);
        assert!(counts[0] == 0 && counts[1].abs_diff(1000) < 150, "{counts:?}");
    }

    proptest! {
        #[test]
        fn the_order_is_nginx_s(weights in prop::collection::vec(1_u64..40, 1..12)) {
            prop_assert_eq!(smooth_order(&weights).to_vec(), naive_order(&weights));
        }

        #[test]
        fn scaled_shares_stay_close(weights in prop::collection::vec(1_u64..=65535, 2..200)) {
            let scaled = scaled(&weights, MAX_TURNS);
            let (sum, scaled_sum) = (weights.iter().sum::<u64>() as f64, scaled.iter().sum::<u64>() as f64);
            prop_assert!(scaled_sum <= (MAX_TURNS + 200) as f64);
            for (w, s) in weights.iter().zip(&scaled) {
                prop_assert!((*w as f64 / sum - *s as f64 / scaled_sum).abs() < 2.0 / 65536.0 * 2.0);
            }
        }
    }
}
