//! nginx's `hash … consistent`, bit for bit: ketama.
//!
//! Ketama is Last.fm's ring for memcached (Richard Jones, 2007) after Karger et al., "Consistent Hashing and Random
//! Trees" (STOC 1997): an upstream owns points on a circle, a key belongs to the next point, and a change of the
//! upstreams moves only the keys of the points that come or go. `ngx_http_upstream_hash_module.c` follows
//! Cache::Memcached::Fast: 160 points for each unit of weight, each crc32(host, 0, port, the point before). Where
//! an upstream cannot take the session, the next point is tried, up to twenty-one points, then round robin decides.
//! Sessions with an empty key are placed by round robin.
//! `tests/vectors/nginx.json` holds placements recorded from nginx itself, and `gateway/tests/programs/oracles` asks a
//! running one.

use super::crc32::Crc32;
use super::key::{Text, hash_key};
use super::ring::{Point, Ring, bounded};
use super::rounds::TRIES;
use super::{Policy, RoundRobin};
use crate::cluster::{Cluster, Session};
use std::collections::BTreeMap;

const POINTS_PER_WEIGHT: u64 = 160;

/// The longest round-robin sequence of upstreams that share an address.
const MAX_TURNS: u64 = 1 << 12;

/// On a ring by the session's key, as nginx's `hash … consistent`. A pick costs a checksum of the key and a look-up.
///
/// The points are those of the address as configured, as in nginx: `10.0.0.1` is not `10.0.0.1:80`. Upstreams of one
/// address own the same points and take turns by weight, as the addresses behind one name do in nginx.
///
/// A unit of weight takes 160 points of about 9 bytes, so an upstream of weight 1 takes 1.4 kB; building sorts them.
/// Where all weights sum up to more than 26,214 (4 Mi points, which nginx would still build) the points are scaled
/// down to as many: shares stay, but placements are no longer nginx's.
///
/// A session without a key is placed by its client's address as text, which is nginx's `$remote_addr`, and one
/// without either by its session id.
#[derive(Debug)]
pub struct Ketama {
    ring: Ring,
    /// Upstreams that share an address, by the index of the first.
    alike: BTreeMap<u16, Alike>,
    fallback: RoundRobin,
}

#[derive(Debug)]
struct Alike {
    members: Vec<u16>,
    turns: RoundRobin,
}

/// The owner of points: the only or the first upstream of an address, and whether more share it.
#[derive(Clone, Copy)]
struct Owner {
    first: u16,
    alike: bool,
}

impl Owner {
    fn of(point: Point) -> Self {
        Self { first: (point.owner() >> 1) as u16, alike: point.owner() & 1 == 1 }
    }

    fn point(self, hash: u32) -> Point {
        Point::new(hash, u32::from(self.first) << 1 | u32::from(self.alike))
    }
}

impl Ketama {
    /// The ring for `cluster`.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let members = cluster.members();
        let mut by_address: BTreeMap<&str, Vec<u16>> = BTreeMap::new();
        for (index, member) in (0..).zip(members) {
            by_address.entry(member.upstream().address()).or_default().push(index);
        }
        let weight = |index: &u16| u64::from(members[usize::from(*index)].weight());
        let heaviest = |indices: &Vec<u16>| indices.iter().map(weight).max().unwrap_or_default();
        let counts: Vec<u64> = by_address.values().map(|indices| heaviest(indices) * POINTS_PER_WEIGHT).collect();
        let counts = bounded(&counts);
        let mut points = Vec::with_capacity(counts.iter().sum::<u64>() as usize);
        for ((address, indices), count) in by_address.iter().zip(counts) {
            let owner = Owner { first: indices[0], alike: indices.len() > 1 };
            points.extend((0..count).zip(hashes(address)).map(|(_, hash)| owner.point(hash)));
        }
        let alike = by_address.into_values().filter(|indices| indices.len() > 1).map(|members| {
            let weights: Vec<u64> = members.iter().map(weight).collect();
            (members[0], Alike { members, turns: RoundRobin::of(&weights, MAX_TURNS) })
        });
        Self { ring: Ring::new(points), alike: alike.collect(), fallback: RoundRobin::new(cluster) }
    }

    /// The first upstream on the session's walk around the ring. `turn` selects among upstreams that share an address.
    /// `None` where round robin decides.
    fn walk(&self, cluster: &Cluster, session: &Session<'_>, turn: fn(&RoundRobin) -> usize) -> Option<usize> {
        let mut text = Text::new();
        let key = hash_key(session, &mut text);
        let tries = if cluster.len() < 2 || key.is_empty() { 0 } else { TRIES };
        let place = self.ring.find(Crc32::new().with(key).value());
        let mut points = self.ring.clockwise(place).take(usize::from(tries));
        points.find_map(|(_, point)| self.at(point, cluster, session, turn))
    }

    /// The upstream at a point that takes the session.
    fn at(
        &self,
        point: Point,
        cluster: &Cluster,
        session: &Session<'_>,
        turn: fn(&RoundRobin) -> usize,
    ) -> Option<usize> {
        let owner = Owner::of(point);
        let accepts = |index: &usize| cluster.accepts(*index, session);
        match self.alike.get(&owner.first).filter(|_| owner.alike) {
            None => Some(usize::from(owner.first)).filter(accepts),
            Some(alike) => {
                let (before, after) = alike.members.split_at(turn(&alike.turns));
                after.iter().chain(before).map(|index| usize::from(*index)).find(accepts)
            }
        }
    }
}

/// The hashes of the points of an address.
fn hashes(address: &str) -> impl Iterator<Item = u32> {
    let (host, port) = host_and_port(address);
    let base = Crc32::new().with(host.as_bytes()).with(&[0]).with(port.as_bytes());
    let next = move |before: u32| base.with_word(before).value();
    std::iter::successors(Some(next(0)), move |before| Some(next(*before)))
}

/// Splits an address as nginx does for the ring: text after the last colon is a port if it is digits or empty. The path
/// of a Unix socket has none, and IPv6 addresses keep their brackets.
fn host_and_port(address: &str) -> (&str, &str) {
    if let Some((prefix, path)) = address.split_at_checked(5)
        && prefix.eq_ignore_ascii_case("unix:")
    {
        return (path, "");
    }
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (address, ""),
    }
}

impl Policy for Ketama {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.walk(cluster, session, RoundRobin::next).or_else(|| self.fallback.place(cluster, session))
    }

    fn peek(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.walk(cluster, session, RoundRobin::upcoming).or_else(|| self.fallback.peek(cluster, session))
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
    use crate::policy::vectors::{assert_places_as_recorded, nginx};
    use proptest::prelude::*;

    conforms!(Ketama);

    #[test]
    fn places_as_the_recorded_nginx_did() {
        assert_places_as_recorded(&nginx("ketama"), &|cluster| Box::new(Ketama::new(cluster)), 5, 600);
    }

    #[test]
    fn addresses_are_split_as_nginx_splits_them() {
        for (address, host, port) in [
            ("10.0.0.1:80", "10.0.0.1", "80"),
            ("10.0.0.1", "10.0.0.1", ""),
            ("[::1]:80", "[::1]", "80"),
            ("[::1]", "[::1]", ""),
            ("app.example:", "app.example", ""),
            ("app.example:8o", "app.example:8o", ""),
            ("unix:/run/app:80", "/run/app:80", ""),
            ("UNIX:/run/app", "/run/app", ""),
            ("unix", "unix", ""),
        ] {
            assert_eq!(host_and_port(address), (host, port), "{address}");
        }
    }

    #[test]
    fn upstreams_of_one_address_take_turns_by_weight() {
        let cluster = addressed_cluster(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"], &[2, 1, 1]);
        let policy = Ketama::new(&cluster);
        let keyed = |session_id: u64| Session { key: Some(b"somebody's"), ..session(session_id) };
        let placed: Vec<_> = (0..8).map(|session_id| policy.place(&cluster, &keyed(session_id)).unwrap()).collect();
        assert!(placed == [1; 8] || placed == [0, 2, 0, 0, 2, 0, 0, 2], "{placed:?}");
        // Every address has keys, and a down upstream leaves its points to the others of its address.
        cluster.members()[0].upstream().set_availability(Availability::DOWN);
        let mut counts = [0; 3];
        for session_id in 0..3000 {
            counts[policy.place(&cluster, &session(session_id)).unwrap()] += 1;
        }
        assert!(counts[0] == 0 && counts[1] > 500 && counts[2] > 1000, "{counts:?}");
    }

    #[test]
    fn the_points_are_bounded() {
        let points = |weights: &[u16]| Ketama::new(&cluster(weights)).ring.clockwise(0).count();
        // Some points collide: 4 Mi of them among 4 Gi hashes.
        assert!((4_100_000..=4_194_304).contains(&points(&[26_214])));
        assert!((4_100_000..=4_194_304).contains(&points(&[65_535; 3])));
    }

    /// nginx's ring as a list, scanned for every key.
    fn naive(cluster: &Cluster, key: &[u8]) -> Option<usize> {
        let mut points = Vec::new();
        for (index, member) in cluster.members().iter().enumerate() {
            let (host, port) = member.upstream().address().rsplit_once(':').unwrap();
            let mut before = 0_u32;
            for _ in 0..160 * u32::from(member.weight()) {
                let bytes = [host.as_bytes(), &[0], port.as_bytes(), &before.to_le_bytes()].concat();
                before = Crc32::new().with(&bytes).value();
                points.push((before, index));
            }
        }
        points.sort();
        points.dedup_by_key(|(hash, _)| *hash);
        let hash = Crc32::new().with(key).value();
        let at = points.iter().position(|(point, _)| *point >= hash).unwrap_or(0);
        let tries = (0..21).map(|n| points[(at + n) % points.len()].1);
        tries.into_iter().find(|index| cluster.members()[*index].upstream().availability().accepting)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn places_as_a_scanned_ring_does(
            servers in prop::collection::vec((1_u16..9, prop::bool::weighted(0.6)), 2..12),
            keys in prop::collection::vec("[a-z0-9]{1,20}", 30),
        ) {
            let cluster = cluster(&servers.iter().map(|(weight, _)| *weight).collect::<Vec<_>>());
            for (member, (_, up)) in cluster.members().iter().zip(&servers) {
                member.upstream().set_availability(if *up { Availability::ACTIVE } else { Availability::DOWN });
            }
            let policy = Ketama::new(&cluster);
            for key in keys {
                let expected = naive(&cluster, key.as_bytes());
                let placed = policy.place(&cluster, &Session { key: Some(key.as_bytes()), ..session(0) });
                // After 21 tries round robin decides.
                prop_assert!(expected.is_none() || placed == expected, "{:?} {:?}", placed, expected);
            }
        }
    }
}
