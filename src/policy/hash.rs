//! nginx's `hash`, bit for bit.
//!
//! `ngx_http_upstream_hash_module.c` follows Cache::Memcached: each round adds (crc32(round, in decimal, then the
//! key) >> 16) & 0x7fff to the hash, the first without its number, and the hash is a point on the weights laid end to
//! end (see `rounds.rs`). Sessions with an empty key are placed by round robin. `tests/vectors/nginx.json` holds
//! placements recorded from nginx itself, and `gateway/tests/programs/oracles` asks a running one.

use super::Policy;
use super::crc32::Crc32;
use super::key::{Text, hash_key};
use super::rounds::Rounds;
use crate::cluster::{Cluster, Session};

/// By the session's key, as nginx's `hash`. A pick costs a checksum of the key and a binary search. Takes 8 bytes an
/// upstream, and the sequence of a round robin.
///
/// Any change of the upstreams moves most keys: this policy is for drop-in replacement of nginx. A session without a
/// key is placed by its client's address as text, which is nginx's `$remote_addr`, and one without either by its
/// session id.
#[derive(Debug)]
pub struct KeyHash {
    rounds: Rounds,
}

impl KeyHash {
    /// For `cluster`; costs what [`RoundRobin::new`](super::RoundRobin::new) does.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self { rounds: Rounds::new(cluster) }
    }
}

impl KeyHash {
    /// The upstream that the session's key hashes to. `None` where round robin decides.
    fn hashed(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let mut text = Text::new();
        let key = hash_key(session, &mut text);
        if key.is_empty() {
            return None;
        }
        let mut sum = 0_u32;
        self.rounds.find(cluster, session, |round| {
            let mut number = Text::new();
            if round > 0 {
                number.decimal(round);
            }
            let crc = Crc32::new().with(number.as_bytes()).with(key).value();
            sum += (crc >> 16) & 0x7fff;
            sum
        })
    }
}

impl Policy for KeyHash {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.hashed(cluster, session).or_else(|| self.rounds.turns.place(cluster, session))
    }

    fn peek(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.hashed(cluster, session).or_else(|| self.rounds.turns.peek(cluster, session))
    }

    fn is_keyed(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Availability;
    use crate::policy::conformance::{cluster, conforms, session};
    use crate::policy::vectors::{assert_places_as_recorded, nginx};
    use proptest::prelude::*;

    conforms!(KeyHash);

    #[test]
    fn places_as_the_recorded_nginx_did() {
        assert_places_as_recorded(&nginx("hash"), &|cluster| Box::new(KeyHash::new(cluster)), 5, 600);
    }

    /// nginx's loop, which walks over the servers.
    fn naive(cluster: &Cluster, key: &str) -> Option<usize> {
        let mut sum = 0;
        (0..21).find_map(|rehash| {
            let text = if rehash == 0 { key.to_owned() } else { format!("{rehash}{key}") };
            sum += u64::from(Crc32::new().with(text.as_bytes()).value() >> 16 & 0x7fff);
            let (mut left, mut at) = (sum % cluster.total_weight(), 0);
            while left >= u64::from(cluster.members()[at].weight()) {
                left -= u64::from(cluster.members()[at].weight());
                at += 1;
            }
            cluster.members()[at].upstream().availability().accepting.then_some(at)
        })
    }

    proptest! {
        #[test]
        fn places_as_a_walk_does(
            servers in prop::collection::vec((1_u16..=300, prop::bool::weighted(0.4)), 2..40),
            keys in prop::collection::vec("[a-z0-9]{1,20}", 30),
        ) {
            let cluster = cluster(&servers.iter().map(|(weight, _)| *weight).collect::<Vec<_>>());
            for (member, (_, up)) in cluster.members().iter().zip(&servers) {
                member.upstream().set_availability(if *up { Availability::ACTIVE } else { Availability::DOWN });
            }
            let policy = KeyHash::new(&cluster);
            for key in keys {
                let expected = naive(&cluster, &key);
                let placed = policy.place(&cluster, &Session { key: Some(key.as_bytes()), ..session(0) });
                // After 21 tries round robin decides.
                prop_assert!(expected.is_none() || placed == expected, "{:?} {:?}", placed, expected);
            }
        }
    }
}
