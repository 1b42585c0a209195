//! HAProxy's `hash-type consistent`, bit for bit.
//!
//! `lb_chash.c` gives a server of weight w 16·w points on a circle of 2^32, full_hash(4096·id + i) for the i-th. A key
//! belongs to the nearer of the two points around its hash, to the one before on a tie. Servers that are down have no
//! points. The hash of a key (`balance hdr` and the like) is full_hash(sdbm(key)), that of an address (`balance
//! source`) is full_hash of its 32-bit words xored. `tests/vectors/haproxy.json` holds placements recorded from HAProxy
//! itself, and `gateway/tests/programs/oracles` asks a running one.

use super::Policy;
use super::key::{Text, hash_key};
use super::params::{ParamError, Params, PolicyConfig};
use super::ring::{Point, Ring, bounded};
use crate::cluster::{Cluster, Session};
use std::net::IpAddr;

/// HAProxy's `BE_WEIGHT_SCALE`.
const POINTS_PER_WEIGHT: u64 = 16;

/// HAProxy's `SRV_EWGHT_RANGE`: the points of one server do not reach those of the next.
const POINTS_PER_ID: u64 = 4096;

/// HAProxy's `SRV_UWGHT_MAX`.
const MAX_WEIGHT: u64 = 256;

/// The most points of unusable upstreams that are passed before a scan tells whether any upstream is usable.
const PATIENCE: usize = 64;

/// What is hashed, in the words of HAProxy's `balance`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChashConfig {
    source: bool,
}

impl PolicyConfig for ChashConfig {
    const PARAMS: &'static [&'static str] = &["balance"];

    fn read(params: &mut Params) -> Result<Self, ParamError> {
        let known = |balance: &String| ["hdr", "source"].contains(&balance.as_str());
        let balance = params.take("balance", "hdr".to_owned(), "hdr or source", known)?;
        Ok(Self { source: balance == "source" })
    }

    fn build(&self, cluster: &Cluster) -> Box<dyn Policy> {
        let policy = Chash::new(cluster);
        Box::new(if self.source { policy.by_source() } else { policy })
    }
}

/// On a ring by the session's key or the client's address, as HAProxy's `hash-type consistent`. A hash and a look-up a
/// pick.
///
/// An upstream's id is its place in the cluster, from 1 on, as HAProxy counts servers that are given no `id`. So an
/// upstream that comes or goes before others renumbers them, and most keys move.
///
/// A unit of weight takes 16 points of about 9 bytes, so an upstream of weight 1 takes 144 bytes; building sorts them.
/// Where a weight is more than 256, which HAProxy refuses, the heaviest gets 4096 points and the others their share.
/// Where all are more than 4 Mi points, they are scaled down to as many.
///
/// An upstream that is full or was tried is passed over for the next point, as HAProxy passes over a server when it
/// tries again. HAProxy takes turns where a key is absent or empty; here the client's address as text stands in, or the
/// session id.
#[derive(Debug)]
pub struct Chash {
    ring: Ring,
    source: bool,
}

impl Chash {
    /// The ring for `cluster`, to be asked by key.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let counts = bounded(&counts(cluster));
        let mut points = Vec::with_capacity(counts.iter().sum::<u64>() as usize);
        for ((index, count), id) in (0..).zip(counts).zip(1..) {
            let first = id * POINTS_PER_ID as u32;
            points.extend((first..).take(count as usize).map(|i| Point::new(full_hash(i), index)));
        }
        if points.is_empty() {
            // The point of an upstream that does not exist, and so accepts nothing.
            points.push(Point::new(0, 0));
        }
        Self { ring: Ring::new(points), source: false }
    }

    /// To be asked by the client's address instead, as `balance source`. Where that is unknown the key still counts.
    #[must_use]
    pub fn by_source(mut self) -> Self {
        self.source = true;
        self
    }

    fn hash(&self, session: &Session<'_>) -> u32 {
        match session.client.filter(|_| self.source) {
            Some(IpAddr::V4(address)) => full_hash(address.to_bits()),
            Some(IpAddr::V6(address)) => {
                let octets = address.octets();
                let words = octets.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word));
                full_hash(words.fold(0, |all, word| all ^ word))
            }
            None => {
                let mut text = Text::new();
                let stand_in = Session { key: session.key.filter(|key| !key.is_empty()), ..*session };
                full_hash(sdbm(hash_key(&stand_in, &mut text)))
            }
        }
    }
}

fn counts(cluster: &Cluster) -> Vec<u64> {
    let weights = cluster.members().iter().map(|member| u64::from(member.weight()));
    let heaviest = weights.clone().max().unwrap_or_default();
    let count = |weight: u64| match heaviest <= MAX_WEIGHT {
        true => weight * POINTS_PER_WEIGHT,
        false => (weight * POINTS_PER_ID / heaviest).max(1),
    };
    weights.map(count).collect()
}

/// Bob Jenkins' integer hash of full avalanche, times a prime near three quarters of 2^32. Each step can be undone,
/// so no two points fall together.
const fn full_hash(key: u32) -> u32 {
    let mut a = key;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
}

/// The hash of the sdbm database library.
fn sdbm(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, byte| hash.wrapping_mul(65_599).wrapping_add(u32::from(*byte)))
}

impl Policy for Chash {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let hash = self.hash(session);
        let place = self.ring.find(hash);
        let (previous, next) = self.ring.around(place);
        // If the nearest of all points will do, it is the nearest of those that will.
        let nearest = if is_nearer(hash, previous, next) { previous } else { next }.owner() as usize;
        if cluster.accepts(nearest, session) { Some(nearest) } else { self.search(cluster, session, hash, place) }
    }

    fn is_keyed(&self) -> bool {
        true
    }
}

impl Chash {
    /// The placement where the nearest point is of an upstream that is down, full or was tried.
    #[cold]
    fn search(&self, cluster: &Cluster, session: &Session<'_>, hash: u32, place: usize) -> Option<usize> {
        let member = |index: usize| cluster.members().get(index);
        let on_ring = |index| member(index).is_some_and(|member| member.upstream().availability().accepting);
        let (next_at, next) = first(self.ring.clockwise(place), cluster, on_ring)?;
        let (previous_at, previous) = first(self.ring.anticlockwise(place), cluster, on_ring)?;
        let nearest = if is_nearer(hash, previous, next) { previous_at } else { next_at };
        let accepts = |index| cluster.accepts(index, session);
        first(self.ring.clockwise(nearest), cluster, accepts).map(|(_, point)| point.owner() as usize)
    }
}

/// Whether `previous` is as near to `hash` as `next`, or nearer.
const fn is_nearer(hash: u32, previous: Point, next: Point) -> bool {
    hash.wrapping_sub(previous.hash()) <= next.hash().wrapping_sub(hash)
}

/// The first point of an upstream that will do. Where it is not among the first few, an upstream that will do is looked
/// for before the rest of what may be millions of points.
fn first(
    mut points: impl Iterator<Item = (usize, Point)>,
    cluster: &Cluster,
    will_do: impl Fn(usize) -> bool,
) -> Option<(usize, Point)> {
    let mut among = |count| points.by_ref().take(count).find(|(_, point)| will_do(point.owner() as usize));
    among(PATIENCE).or_else(|| if (0..cluster.len()).any(&will_do) { among(usize::MAX) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Availability;
    use crate::policy::conformance::{cluster, conforms, session};
    use crate::policy::vectors::{assert_places_as_recorded, haproxy};
    use proptest::prelude::*;

    // Sixteen points are too few for shares to be near: see below.
    conforms!(
        Chash: places_only_on_accepting,
        finds_the_only_one,
        passes_over_full_and_tried,
        stands_an_empty_cluster,
        stands_extremes,
        looks_without_changing
    );

    #[test]
    fn shares_follow_weights_of_many_points() {
        let weights = [32, 64, 160];
        let cluster = cluster(&weights);
        let policy = Chash::new(&cluster);
        let mut counts = [0_u32; 3];
        for session_id in 0..8000 {
            counts[policy.place(&cluster, &session(session_id)).unwrap()] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let expected = u32::from(weight) * 8000 / 256;
            assert!(count.abs_diff(expected) < expected / 8, "{counts:?} for weights {weights:?}");
        }
    }

    #[test]
    fn places_as_the_recorded_haproxy_did() {
        for algorithm in ["haproxy-consistent-hdr", "haproxy-consistent-sdbm-avalanche"] {
            assert_places_as_recorded(&haproxy(algorithm), &|cluster| Box::new(Chash::new(cluster)), 3, 180);
        }
        let build = |cluster: &Cluster| -> Box<dyn Policy> { Box::new(Chash::new(cluster).by_source()) };
        assert_places_as_recorded(&haproxy("haproxy-source"), &build, 3, 180);
    }

    #[test]
    fn no_two_points_fall_together() {
        let ring = |weights: &[u16]| Chash::new(&cluster(weights)).ring;
        assert_eq!(ring(&[256; 100]).clockwise(0).count(), 409_600);
        // Beyond HAProxy's range: 4096 for the heaviest, shares for the others, one at least.
        assert_eq!(ring(&[65_535, 32_768, 1]).clockwise(0).count(), 4096 + 2048 + 1);
    }

    #[test]
    fn what_is_hashed_can_be_chosen() {
        let cluster = cluster(&[1; 97]);
        let build = |balance| {
            let mut params = Params::new().with("balance", balance);
            ChashConfig::read(&mut params).map(|config| config.build(&cluster))
        };
        let [hdr, source] = ["hdr", "source"].map(|balance| build(balance).unwrap());
        let keyed = |session_id| Session { key: Some(b"one"), ..session(session_id) };
        let moved = |policy: &dyn Policy| {
            (1..50).any(|session_id| policy.place(&cluster, &keyed(session_id)) != policy.place(&cluster, &keyed(0)))
        };
        assert!(moved(&*source) && !moved(&*hdr));
        assert_eq!(
            build("uri").unwrap_err().to_string(),
            "the policy's parameter balance cannot be \"uri\": use hdr or source"
        );
        let empty = Session { key: Some(b""), ..session(3) };
        assert_eq!(hdr.place(&cluster, &empty), hdr.place(&cluster, &session(3)));
    }

    /// HAProxy's tree as a list of the points of those that are up, scanned for every key.
    fn naive(cluster: &Cluster, hash: u32, avoid: Option<usize>) -> Option<usize> {
        let members = cluster.members().iter().enumerate();
        let up = members.filter(|(_, member)| member.upstream().availability().accepting);
        let mut points: Vec<(u32, usize)> = up
            .flat_map(|(i, member)| {
                let first = (i as u32 + 1) * 4096;
                (first..first + 16 * u32::from(member.weight())).map(move |n| (full_hash(n), i))
            })
            .collect();
        points.sort();
        let count = points.len();
        if count == 0 {
            return None;
        }
        let next = points.iter().position(|(point, _)| *point >= hash).unwrap_or(0);
        let previous = (next + count - 1) % count;
        let distances = (hash.wrapping_sub(points[previous].0), points[next].0.wrapping_sub(hash));
        let nearest = if distances.0 <= distances.1 { previous } else { next };
        (nearest..nearest + count).map(|at| points[at % count].1).find(|index| Some(*index) != avoid)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn places_as_a_scanned_tree_does(
            servers in prop::collection::vec((1_u16..=40, prop::bool::weighted(0.5)), 1..20),
            clients in prop::collection::vec(any::<u32>(), 50),
            avoid in prop::option::of(0_usize..20),
        ) {
            let cluster = cluster(&servers.iter().map(|(weight, _)| *weight).collect::<Vec<_>>());
            for (member, (_, up)) in cluster.members().iter().zip(&servers) {
                member.upstream().set_availability(if *up { Availability::ACTIVE } else { Availability::DOWN });
            }
            let policy = Chash::new(&cluster).by_source();
            let tried: Vec<_> = avoid.and_then(|a| cluster.members().get(a)).map(|m| m.upstream().id()).into_iter().collect();
            for client in clients {
                let session = Session { client: Some(IpAddr::from(client.to_be_bytes())), tried: &tried, ..session(0) };
                prop_assert_eq!(policy.place(&cluster, &session), naive(&cluster, full_hash(client), avoid));
            }
        }
    }
}
