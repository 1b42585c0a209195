//! Bounded loads: no upstream has much more in flight than its fair share.
//!
//! "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup and Zadimoghaddam, SODA 2018): an upstream that has more
//! than a factor of the average is skipped. On a ring the key goes to the next upstream on the ring, so the neighbour
//! of a busy upstream gets busy next; here it follows its rendezvous order, which differs from key to key.

use crate::cluster::Cluster;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bound, and the number in flight in the whole cluster: recounted every so many picks, since a count that all
/// threads share would cost each pick more.
#[derive(Debug)]
pub(super) struct Bound {
    factor: f64,
    picks: AtomicU64,
    in_flight: AtomicU64,
}

/// A recount reads all upstreams; spread over the picks between two, each pays for about this many.
const LOOKS: usize = 8;

impl Bound {
    pub(super) const fn new(factor: f64) -> Self {
        Self { factor, picks: AtomicU64::new(0), in_flight: AtomicU64::new(0) }
    }

    /// Counts a pick, and recounts what is in flight at every (N/8)th. Returns what one upstream may have in flight
    /// for a weight of 1, this pick included.
    ///
    /// The count is at most N/8 picks old, an eighth of a request an upstream. Relaxed is enough: the word is
    /// self-contained, and which count is in force only affects how old it is.
    pub(super) fn share(&self, cluster: &Cluster) -> f64 {
        let in_flight = self.in_flight(cluster, self.picks.fetch_add(1, Ordering::Relaxed));
        if in_flight != self.in_flight.load(Ordering::Relaxed) {
            self.in_flight.store(in_flight, Ordering::Relaxed);
        }
        self.share_of(in_flight, cluster)
    }

    /// What the next [`share`](Self::share) would return, without counting a pick.
    pub(super) fn next_share(&self, cluster: &Cluster) -> f64 {
        self.share_of(self.in_flight(cluster, self.picks.load(Ordering::Relaxed)), cluster)
    }

    fn in_flight(&self, cluster: &Cluster, pick: u64) -> u64 {
        let every = cluster.len().div_ceil(LOOKS).max(1) as u64;
        match pick.is_multiple_of(every) {
            true => cluster.members().iter().map(|member| u64::from(member.upstream().in_flight())).sum(),
            false => self.in_flight.load(Ordering::Relaxed),
        }
    }

    fn share_of(&self, in_flight: u64, cluster: &Cluster) -> f64 {
        self.factor * (in_flight + 1) as f64 / cluster.total_weight() as f64
    }
}

/// Whether the upstream at `index` would stay within its share, rounded up, with one request more.
pub(super) fn within(cluster: &Cluster, index: usize, share: f64) -> bool {
    cluster
        .members()
        .get(index)
        .is_some_and(|member| f64::from(member.upstream().in_flight()) < (share * f64::from(member.weight())).ceil())
}
