//! The ring of consistent hashing: points, each a 32-bit hash and its owner.
//!
//! The points are sorted in one array, and a table indexed by the top bits of a hash tells where to begin, so a look-up
//! reads two cache lines in the usual case, where a binary search over a million points misses the cache at most of its
//! twenty steps. Hashes are uniform, so a few points share an entry. A point takes 8 bytes, and 0.5 to 1 more in the
//! table.

/// The most points a ring has: 4 Mi, some 36 MiB, built in some tenths of a second.
pub(super) const MAX_POINTS: u64 = 1 << 22;

/// The numbers of points for upstreams that ask for `counts`: these, or if their sum exceeds [`MAX_POINTS`], their
/// shares of that, at least one each.
pub(super) fn bounded(counts: &[u64]) -> Vec<u64> {
    let total: u64 = counts.iter().sum();
    let bound = |count: &u64| match total <= MAX_POINTS {
        true => *count,
        false => (count * MAX_POINTS / total).max(1),
    };
    counts.iter().map(bound).collect()
}

/// A point as one number, the hash in the upper half and the owner in the lower, so that points sort as numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Point(u64);

impl Point {
    pub(super) const fn new(hash: u32, owner: u32) -> Self {
        Self((hash as u64) << 32 | owner as u64)
    }

    pub(super) const fn hash(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) const fn owner(self) -> u32 {
        self.0 as u32
    }

    /// The top bits of its hash, without the `shift` lowest.
    const fn top(self, shift: u32) -> usize {
        (self.0 >> 32 >> shift) as usize
    }
}

/// The most top bits of the radix pass. More buckets scatter the writes over memory.
const DEALT_BITS: u32 = 11;

/// Sorts the points: one radix pass by their top bits, then a sort within each bucket.
fn sorted(points: Vec<Point>, shift: u32) -> Vec<Point> {
    let shift = shift.max(u32::BITS - DEALT_BITS);
    let mut ends = vec![0_usize; 1 << (u32::BITS - shift)];
    for point in &points {
        ends[point.top(shift)] += 1;
    }
    let mut sum = 0;
    for end in &mut ends {
        sum += *end;
        *end = sum;
    }
    // Each bucket is filled from its end down, so its end becomes its start.
    let mut sorted = points.clone();
    let mut starts = ends;
    for point in points {
        let start = &mut starts[point.top(shift)];
        *start -= 1;
        sorted[*start] = point;
    }
    let ends = starts.iter().skip(1).copied().chain([sorted.len()]);
    for (start, end) in starts.iter().zip(ends) {
        sorted[*start..end].sort_unstable();
    }
    sorted
}

pub(super) struct Ring {
    points: Box<[Point]>,
    /// Indexed by the top bits of a hash: the first point with these or higher top bits.
    starts: Box<[u32]>,
    /// The number of low bits of a hash that are not top bits.
    shift: u32,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("points", &self.points.len()).finish_non_exhaustive()
    }
}

impl Ring {
    /// Builds the ring. Of points with equal hashes only the one with the lowest owner is kept.
    pub(super) fn new(points: Vec<Point>) -> Self {
        let bits = (points.len() / 4).max(1).ilog2();
        let shift = u32::BITS - bits;
        let mut points = sorted(points, shift);
        points.dedup_by_key(|point| point.hash());
        let mut starts = Vec::with_capacity(1 << bits);
        for (i, point) in (0..).zip(&points) {
            starts.resize(starts.len().max(point.top(shift) + 1), i);
        }
        starts.resize(1 << bits, points.len() as u32);
        Self { points: points.into(), starts: starts.into(), shift }
    }

    /// The place of the first point whose hash is at least `hash`; behind the last point, that of the first.
    pub(super) fn find(&self, hash: u32) -> usize {
        let start = self.starts[Point::new(hash, 0).top(self.shift)] as usize;
        let below = self.points[start..].iter().take_while(|point| point.hash() < hash).count();
        if start + below < self.points.len() { start + below } else { 0 }
    }

    /// The points before and at `place`.
    pub(super) fn around(&self, place: usize) -> (Point, Point) {
        let before = place.checked_sub(1).unwrap_or(self.points.len() - 1);
        (self.points[before], self.points[place])
    }

    /// All points once with their places, forwards from the one at `place`.
    pub(super) fn clockwise(&self, place: usize) -> impl Iterator<Item = (usize, Point)> {
        let at = |place: usize| (place, self.points[place]);
        (place..self.points.len()).chain(0..place).map(at)
    }

    /// All points once with their places, backwards from the one before `place`.
    pub(super) fn anticlockwise(&self, place: usize) -> impl Iterator<Item = (usize, Point)> {
        let at = |place: usize| (place, self.points[place]);
        (0..place).rev().chain((place..self.points.len()).rev()).map(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Half of them close together, so that many share their top bits.
    fn hash() -> impl Strategy<Value = u32> {
        prop_oneof![any::<u32>(), 0_u32..40, u32::MAX - 40..=u32::MAX]
    }

    proptest! {
        #[test]
        fn a_look_up_finds_what_a_scan_finds(
            points in prop::collection::vec((hash(), 0_u32..100), 1..300),
            hashes in prop::collection::vec(hash(), 50),
        ) {
            let points: Vec<Point> = points.into_iter().map(|(hash, owner)| Point::new(hash, owner)).collect();
            let ring = Ring::new(points.clone());
            for hash in hashes {
                let above = points.iter().filter(|point| point.hash() >= hash);
                let expected = above.min().or_else(|| points.iter().min()).copied();
                let place = ring.find(hash);
                prop_assert_eq!(ring.clockwise(place).next().map(|(_, point)| point), expected);
            }
        }

        #[test]
        fn both_ways_meet_every_point_once(hashes in prop::collection::btree_set(hash(), 1..50), hash: u32) {
            let ring = Ring::new(hashes.iter().map(|hash| Point::new(*hash, 0)).collect());
            let place = ring.find(hash);
            let forwards: Vec<_> = ring.clockwise(place).collect();
            let mut backwards: Vec<_> = ring.anticlockwise(place).collect();
            backwards.reverse();
            prop_assert_eq!(forwards.len(), hashes.len());
            prop_assert_eq!(ring.around(place), (forwards[forwards.len() - 1].1, forwards[0].1));
            prop_assert_eq!(forwards, backwards);
        }

        #[test]
        fn bounded_counts_are_exact_or_keep_their_shares(
            counts in prop::collection::vec(1_u64..=160 * 65535, 1..50),
        ) {
            let bounded = bounded(&counts);
            let (total, kept): (u64, u64) = (counts.iter().sum(), bounded.iter().sum());
            prop_assert!(kept <= MAX_POINTS + 50);
            prop_assert!(total > MAX_POINTS || bounded == counts);
            for (count, kept_count) in counts.iter().zip(bounded) {
                let (share, kept_share) = (*count as f64 / total as f64, kept_count as f64 / kept as f64);
                prop_assert!((share - kept_share).abs() < 1e-4);
            }
        }
    }
}
