//! Maglev hashing, with Envoy's table.
//!
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016): upstreams take turns to
//! claim the next free slot of their own permutation of a table until it is full, and a pick is one look at the table.
//! Shares are almost equal, and a change of the upstreams moves few keys beyond those that must move. Permutations,
//! hashes and weighted turns are as in Envoy's `maglev_lb.cc`; the tables of its tests are expectations of ours.

use super::Policy;
use super::key::{Text, hash_key};
use super::params::{ParamError, Params, PolicyConfig};
use super::random::scan_with;
use crate::cluster::{Cluster, Member, Session};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use twox_hash::XxHash64;

/// Envoy's default, a prime.
const TABLE_SIZE: u32 = 65_537;

/// The largest table that Envoy accepts, a prime.
const MAX_TABLE_SIZE: u32 = 5_000_011;

/// The most slots that a pick reads before it draws among the accepting upstreams.
const ATTEMPTS: u64 = 16;

/// The size of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaglevConfig {
    table_size: u32,
}

impl PolicyConfig for MaglevConfig {
    const PARAMS: &'static [&'static str] = &["table_size"];

    fn read(params: &mut Params) -> Result<Self, ParamError> {
        let valid = |size: &u32| *size <= MAX_TABLE_SIZE && is_prime(*size);
        Ok(Self { table_size: params.take("table_size", TABLE_SIZE, "a prime number, 2 to 5000011", valid)? })
    }

    fn build(&self, cluster: &Cluster) -> Box<dyn Policy> {
        Box::new(Maglev::sized(cluster, self.table_size))
    }
}

fn is_prime(number: u32) -> bool {
    number >= 2 && (2..).take_while(|factor| factor * factor <= number).all(|factor| !number.is_multiple_of(factor))
}

/// By the session's key on Maglev's table, as Envoy builds it. A pick costs a hash and one table read.
///
/// The table takes 2 bytes a slot, 128 KiB with Envoy's 65,537 slots whatever the number of upstreams, and is built in
/// some milliseconds. Where there are more upstreams than slots, some have none; Envoy advises a hundred slots an
/// upstream.
///
/// Upstreams are hashed by address, as in Envoy. Envoy leaves out hosts that are unhealthy and builds the table
/// anew, which moves keys of others too. Here the table stays: where the slot's upstream cannot take the session the
/// hash changes as for Envoy's retries, up to fifteen times, so the keys of an upstream spread over all others and
/// no other key moves. After that the key's hash draws by weight among those that can.
///
/// A session without a key is placed by its client's address as text, and one without either by its session id.
#[derive(Debug)]
pub struct Maglev {
    table: Box<[u16]>,
}

/// An upstream that claims slots in turn.
struct Claimant {
    index: u16,
    /// Its weight, normalized as in Envoy.
    weight: f64,
    /// The value that weight times round must reach for its next turn.
    target: f64,
    skip: u32,
    /// The next slot of its permutation.
    slot: u32,
}

impl Claimant {
    /// The round of its next turn after `round`: the first whose product reaches the target, in Envoy's floating-point
    /// arithmetic to the bit.
    fn next_turn(&self, round: u64) -> u64 {
        let near = (self.target / self.weight) as u64;
        let first = near.saturating_sub(1).max(round + 1);
        (first..).find(|round| *round as f64 * self.weight >= self.target).unwrap_or(first)
    }
}

impl Maglev {
    /// Envoy's table of 65,537 slots for `cluster`.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self::sized(cluster, TABLE_SIZE)
    }

    /// A table of `size` slots, which must be prime for each permutation to reach them all.
    fn sized(cluster: &Cluster, size: u32) -> Self {
        let mut members: Vec<(u16, &Member)> = (0..).zip(cluster.members()).collect();
        members.sort_by_key(|(_, member)| member.upstream().address());
        let claimant = |(index, member): (u16, &Member)| {
            let hash = |seed| XxHash64::oneshot(seed, member.upstream().address().as_bytes());
            let weight = f64::from(member.weight()) / cluster.total_weight() as f64;
            let slot = (hash(0) % u64::from(size)) as u32;
            let skip = (hash(1) % u64::from(size - 1)) as u32 + 1;
            Claimant { index, weight, target: 0.0, skip, slot }
        };
        let mut claimants: Vec<Claimant> = members.into_iter().map(claimant).collect();
        let heaviest = claimants.iter().map(|claimant| claimant.weight).fold(0.0, f64::max);

        let mut table: Vec<Option<u16>> = vec![None; size as usize];
        // Envoy iterates over all hosts and skips those whose turn has not come; a queue finds the next directly.
        let mut queue: BinaryHeap<_> = (0..claimants.len()).map(|position| Reverse((1, position))).collect();
        for _ in 0..size {
            let Some(Reverse((round, position))) = queue.pop() else { break };
            let claimant = &mut claimants[position];
            let next = |slot| (u64::from(slot) + u64::from(claimant.skip)) % u64::from(size);
            while table[claimant.slot as usize].is_some() {
                claimant.slot = next(claimant.slot) as u32;
            }
            table[claimant.slot as usize] = Some(claimant.index);
            claimant.target += heaviest;
            queue.push(Reverse((claimant.next_turn(round), position)));
        }
        // In an empty cluster no slot is claimed: all are of an upstream that does not exist, and so accepts nothing.
        Self { table: table.into_iter().map(Option::unwrap_or_default).collect() }
    }
}

impl Policy for Maglev {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let mut text = Text::new();
        let hash = XxHash64::oneshot(0, hash_key(session, &mut text));
        (0..ATTEMPTS)
            .map(|attempt| (hash ^ attempt.wrapping_neg()) % self.table.len() as u64)
            .map(|slot| usize::from(self.table[slot as usize]))
            .find(|index| cluster.accepts(*index, session))
            .or_else(|| scan_with(cluster, session, hash))
    }

    fn is_keyed(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Availability;
    use crate::policy::conformance::{addressed_cluster, cluster, conforms, session};
    use proptest::prelude::*;

    conforms!(Maglev);

    fn ports(range: std::ops::RangeInclusive<u16>) -> Vec<String> {
        range.map(|port| format!("127.0.0.1:{port}")).collect()
    }

    #[test]
    fn tables_are_those_of_envoy_s_tests() {
        // test/extensions/load_balancing_policies/maglev/maglev_lb_test.cc: Basic, BasicWithHostName, Weighted.
        let table = |addresses: &[String], weights: &[u16], size| {
            Maglev::sized(&addressed_cluster(addresses, weights), size).table
        };
        assert_eq!(*table(&ports(90..=95), &[1; 6], 7), [2, 4, 0, 1, 5, 0, 3]);
        let names: Vec<String> = (90..=95).map(|name| name.to_string()).collect();
        assert_eq!(*table(&names, &[1; 6], 7), [2, 5, 0, 3, 4, 1, 0]);
        let weighted = table(&ports(90..=91), &[1, 2], 17);
        assert_eq!(*weighted, [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1]);
        // The order of upstreams in the configuration does not matter.
        let backwards: Vec<String> = ports(90..=95).into_iter().rev().collect();
        assert_eq!(*table(&backwards, &[1; 6], 7), [3, 1, 5, 4, 0, 5, 2]);
    }

    #[test]
    fn what_an_upstream_cannot_take_spreads_and_nothing_else_moves() {
        let cluster = cluster(&[1; 10]);
        let policy = Maglev::new(&cluster);
        let before: Vec<_> =
            (0..10_000).map(|session_id| policy.place(&cluster, &session(session_id)).unwrap()).collect();
        cluster.members()[4].upstream().set_availability(Availability::DOWN);
        let mut taken = [0; 10];
        for (session_id, before) in (0..).zip(before) {
            let after = policy.place(&cluster, &session(session_id)).unwrap();
            match before {
                4 => taken[after] += 1,
                _ => assert_eq!(after, before),
            }
        }
        // About 1000 over nine, not as evenly as by chance: slots of one upstream lie at regular distances.
        assert!((0..10).filter(|index| *index != 4).all(|index| (50..180).contains(&taken[index])), "{taken:?}");
    }

    #[test]
    fn only_primes_are_sizes() {
        let read =
            |size: &str| MaglevConfig::read(&mut Params::new().with("table_size", size)).map(|c| c.table_size).ok();
        assert_eq!([read("7"), read("65537"), read("5000011")], [Some(7), Some(65_537), Some(5_000_011)]);
        for refused in ["0", "1", "8", "65536", "5000021", "25", "x"] {
            assert_eq!(read(refused), None, "{refused}");
        }
        assert!(Maglev::sized(&cluster(&[1; 3]), 2).table.len() == 2);
    }

    /// Envoy's loops, unchanged.
    fn naive(addresses: &[String], weights: &[u16], size: u64) -> Vec<u16> {
        let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut hosts: Vec<(&String, u16, f64)> =
            (0..).zip(addresses).zip(weights).map(|((i, a), w)| (a, i, f64::from(*w) / sum as f64)).collect();
        hosts.sort_by_key(|(address, index, _)| (*address, *index));
        let heaviest = hosts.iter().map(|host| host.2).fold(0.0, f64::max);
        let (mut targets, mut nexts) = (vec![0.0; hosts.len()], vec![0_u64; hosts.len()]);
        let mut table = vec![None; size as usize];
        let mut filled = 0;
        for iteration in 1_u32.. {
            for (i, (address, index, weight)) in hosts.iter().enumerate() {
                if filled == size {
                    return table.into_iter().flatten().collect();
                }
                if f64::from(iteration) * weight < targets[i] {
                    continue;
                }
                targets[i] += heaviest;
                let hash = |seed| XxHash64::oneshot(seed, address.as_bytes());
                let slot = |next: u64| ((hash(0) % size + (hash(1) % (size - 1) + 1) * next) % size) as usize;
                while table[slot(nexts[i])].is_some() {
                    nexts[i] += 1;
                }
                table[slot(nexts[i])] = Some(*index);
                nexts[i] += 1;
                filled += 1;
            }
        }
        unreachable!("a table is filled")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn the_table_is_what_envoy_s_loops_make(
            weights in prop::collection::vec(prop_oneof![1_u16..10, 1_u16..=65_535], 1..30),
            size in prop::sample::select(vec![2_u32, 7, 251, 1009, 4093]),
        ) {
            let addresses = ports(9000..=9000 + weights.len() as u16 - 1);
            let table = Maglev::sized(&addressed_cluster(&addresses, &weights), size).table;
            prop_assert_eq!(table.to_vec(), naive(&addresses, &weights, u64::from(size)));
        }
    }
}
