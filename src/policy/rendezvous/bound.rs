//! Bounded loads: nobody has much more in flight than a fair share of all that is.
//!
//! "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup and Zadimoghaddam, SODA 2018): an upstream that has more
//! than a factor of the average is passed over. There a key goes on to the next on the ring, so the neighbour of a
//! busy upstream is the next to be busy; here it goes on in its rendezvous order, which is another for each key.

use crate::cluster::Cluster;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bound, and what is in flight in the whole cluster: counted anew every so many picks, since a count that all
/// threads share would cost each pick more.
#[derive(Debug)]
pub(super) struct Bound {
    factor: f64,
    picks: AtomicU64,
    in_flight: AtomicU64,
}

/// A recount looks at all upstreams, and each pick pays for about so many.
const LOOKS: usize = 8;

impl Bound {
    pub(super) const fn new(factor: f64) -> Self {
        Self { factor, picks: AtomicU64::new(0), in_flight: AtomicU64::new(0) }
    }

    /// Counts a pick, and every (N/8)th time all that is in flight. Says what one upstream may have in flight for a
    /// weight of 1, this pick included.
    ///
    /// The count is old by N/8 picks at most, an eighth of a request for each upstream. Relaxed is enough: it is one
    /// word that stands for itself, and whose count is in force decides nothing but how old it is.
    pub(super) fn share(&self, cluster: &Cluster) -> f64 {
        let in_flight = self.in_flight(cluster, self.picks.fetch_add(1, Ordering::Relaxed));
        if in_flight != self.in_flight.load(Ordering::Relaxed) {
            self.in_flight.store(in_flight, Ordering::Relaxed);
        }
        self.share_of(in_flight, cluster)
    }

    /// What the next [`share`](Self::share) would say, without counting a pick.
    pub(super) fn next_share(&self, cluster: &Cluster) -> f64 {
        self.share_of(self.in_flight(cluster, self.picks.load(Ordering::Relaxed)), cluster)
    }

    fn in_flight(&self, cluster: &Cluster, pick: u64) -> u64 {
        let every = cluster.len().div_ceil(LOOKS) as u64;
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
