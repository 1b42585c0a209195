//! What passes between the proxy and each upstream: bytes, tunnels, and how long answers take.
//!
//! Each worker counts in cells of its own, which a connection finds when it is made and keeps: counting looks nothing up
//! and shares no cache line with another worker. Whoever wants the figures adds the cells up.

use crate::cluster::{IdMap, Upstream};
use crate::proxy::proxy::Proxy;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Buckets an octave: a quantile is told to less than a quarter.
const STEPS: u64 = 4;

/// Answers that come within 2^6 µs share the first bucket.
const FIRST_OCTAVE: u32 = 6;

/// From 64 µs to 2^27 µs, some two minutes; the last bucket has all beyond.
const BUCKETS: usize = 4 * 21 + 2;

/// What one worker has counted of one upstream. Two lines, since x86-64 prefetches them in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Cell {
    received: AtomicU64,
    sent: AtomicU64,
    tunnels: AtomicU64,
    micros: AtomicU64,
    responses: [AtomicU64; BUCKETS],
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            tunnels: AtomicU64::new(0),
            micros: AtomicU64::new(0),
            responses: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

impl Cell {
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A response's head came so long after its request was sent.
    pub(crate) fn responded(&self, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.responses[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts a tunnel as open while it lives.
#[derive(Debug)]
pub(crate) struct OpenTunnel(Arc<Cell>);

impl OpenTunnel {
    pub(crate) fn new(cell: Arc<Cell>) -> Self {
        cell.tunnels.fetch_add(1, Ordering::Relaxed);
        Self(cell)
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bucket of a time: four of equal width an octave.
fn bucket(micros: u64) -> usize {
    if micros < 1 << FIRST_OCTAVE {
        return 0;
    }
    let octave = micros.ilog2();
    let step = (micros >> (octave - STEPS.ilog2())) - STEPS;
    let index = 1 + u64::from(octave - FIRST_OCTAVE) * STEPS + step;
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The time below which a bucket's times are; none for the last.
fn bound(bucket: usize) -> Option<Duration> {
    (bucket < BUCKETS - 1).then(|| {
        let (octave, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
        Duration::from_micros(((STEPS + step) << (u64::from(FIRST_OCTAVE) + octave)) / STEPS)
    })
}

/// The cells of all workers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    workers: AtomicUsize,
    pages: Mutex<IdMap<Page>>,
}

#[derive(Debug)]
struct Page {
    /// A changed address makes another cell of the same id, whose figures start anew.
    upstream: Weak<Upstream>,
    /// By the number of the worker.
    cells: Vec<(usize, Arc<Cell>)>,
}

impl Ledger {
    /// A number for one more worker.
    pub(crate) fn worker(&self) -> usize {
        self.workers.fetch_add(1, Ordering::Relaxed)
    }

    /// Where `worker` counts what passes to and from `upstream`. Takes a lock: ask once a connection.
    pub(crate) fn cell(&self, worker: usize, upstream: &Arc<Upstream>) -> Arc<Cell> {
        let mut pages = self.pages.lock();
        if !pages.get(&upstream.id()).is_some_and(|page| page.is_of(upstream)) {
            pages.retain(|_, page| page.upstream.strong_count() > 0);
            pages.insert(upstream.id(), Page { upstream: Arc::downgrade(upstream), cells: Vec::new() });
        }
        let Some(page) = pages.get_mut(&upstream.id()) else { return Arc::default() };
        match page.cells.iter().find(|(number, _)| *number == worker) {
            Some((_, cell)) => Arc::clone(cell),
            None => {
                let cell = Arc::<Cell>::default();
                page.cells.push((worker, Arc::clone(&cell)));
                cell
            }
        }
    }

    fn sum(&self, upstream: &Upstream) -> Traffic {
        let mut sum = Traffic::default();
        if let Some(page) = self.pages.lock().get(&upstream.id()).filter(|page| page.is_of(upstream)) {
            page.cells.iter().for_each(|(_, cell)| sum.add(cell));
        }
        sum
    }
}

impl Page {
    fn is_of(&self, upstream: &Upstream) -> bool {
        std::ptr::eq(self.upstream.as_ptr(), upstream)
    }
}

/// What has passed between a proxy and an upstream since the first of them began, over all workers. Probes are not
/// counted.
#[derive(Clone, Debug)]
pub struct Traffic {
    received: u64,
    sent: u64,
    tunnels: u64,
    micros: u64,
    responses: [u64; BUCKETS],
}

impl Default for Traffic {
    fn default() -> Self {
        Self { received: 0, sent: 0, tunnels: 0, micros: 0, responses: [0; BUCKETS] }
    }
}

impl Traffic {
    /// The traffic of `count` responses that took `after` each, for tests of what reads one.
    #[must_use]
    pub fn of_answers(count: u64, after: Duration) -> Self {
        let (cell, mut traffic) = (Cell::default(), Self::default());
        (0..count).for_each(|_| cell.responded(after));
        traffic.add(&cell);
        traffic
    }

    fn add(&mut self, cell: &Cell) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.received += count(&cell.received);
        self.sent += count(&cell.sent);
        self.tunnels += count(&cell.tunnels);
        self.micros = self.micros.wrapping_add(count(&cell.micros));
        self.responses.iter_mut().zip(&cell.responses).for_each(|(sum, counter)| *sum += count(counter));
    }

    /// What of this has passed since `earlier`, an older look at the same upstream. Tunnels are those that are open now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            received: self.received.saturating_sub(earlier.received),
            sent: self.sent.saturating_sub(earlier.sent),
            tunnels: self.tunnels,
            micros: self.micros.wrapping_sub(earlier.micros),
            responses: std::array::from_fn(|bucket| self.responses[bucket].saturating_sub(earlier.responses[bucket])),
        }
    }

    /// WebSockets and other tunnels that are open now.
    #[must_use]
    pub fn tunnels(&self) -> u64 {
        self.tunnels
    }

    /// Bytes that came from it: heads, bodies and tunnels.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// Bytes that went to it: heads, bodies and tunnels.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent
    }

    /// How many requests had the head of a response.
    #[must_use]
    pub fn responses(&self) -> u64 {
        self.responses.iter().sum()
    }

    /// From sending a request to the head of its response, all of them together.
    #[must_use]
    pub fn response_time(&self) -> Duration {
        Duration::from_micros(self.micros)
    }

    /// How long that took for the part `q` (0 to 1) of them that was quickest, to less than a quarter; no more than some
    /// two minutes. `None` where there was none.
    #[must_use]
    pub fn response_quantile(&self, q: f64) -> Option<Duration> {
        let rank = ((q.clamp(0.0, 1.0) * self.responses() as f64).ceil() as u64).max(1);
        let mut passed = 0;
        let bucket = self.responses.iter().position(|count| {
            passed += count;
            passed >= rank
        })?;
        bound(bucket.min(BUCKETS - 2))
    }

    /// How many took less than so many seconds, octave by octave, each without those before it; infinity comes last.
    pub fn response_buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut next = 0;
        (0..BUCKETS - 1).step_by(STEPS as usize).chain([BUCKETS - 1]).map(move |last| {
            let count = self.responses[next..=last].iter().sum();
            next = last + 1;
            (bound(last).map_or(f64::INFINITY, |bound| bound.as_secs_f64()), count)
        })
    }
}

impl Proxy {
    /// What has passed between this proxy and an upstream of its balancer, over all workers. Takes a lock that requests
    /// take only to connect.
    #[must_use]
    pub fn traffic(&self, upstream: &Upstream) -> Traffic {
        self.shared().ledger.sum(upstream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::UpstreamConfig;
    use crate::{Balancer, Change};

    #[test]
    fn every_time_is_in_the_bucket_that_bounds_it() {
        for micros in
            (0..40).flat_map(|octave| [(1_u64 << octave) - 1, 1 << octave, (1 << octave) * 5 / 4, 3 << octave])
        {
            let (time, bucket) = (Duration::from_micros(micros), bucket(micros));
            assert!(bound(bucket).is_none_or(|bound| time < bound), "{micros}");
            assert!(bucket == 0 || bound(bucket - 1).unwrap() <= time, "{micros}");
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
        assert_eq!(bound(BUCKETS - 2), Some(Duration::from_micros(1 << 27)));
    }

    #[test]
    fn quantiles_are_near_the_exact_ones() {
        let cell = Cell::default();
        let mut times: Vec<u64> = (1..=1000).map(|n| 70 + n * n * 7 % 90_000).collect();
        times.iter().for_each(|micros| cell.responded(Duration::from_micros(*micros)));
        times.sort_unstable();
        let mut traffic = Traffic::default();
        assert_eq!(traffic.response_quantile(0.5), None);
        traffic.add(&cell);
        for (q, rank) in [(0.0, 0), (0.5, 499), (0.9, 899), (0.99, 989), (1.0, 999)] {
            let (told, exact) = (traffic.response_quantile(q).unwrap().as_micros() as u64, times[rank]);
            assert!(exact < told && told * 4 <= exact * 5, "{q}: {told} for {exact}");
        }
        let total: u64 = traffic.response_buckets().map(|(_, count)| count).sum();
        assert_eq!(total, 1000);
        for (bound, below) in traffic.response_buckets().scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        }) {
            let exact = times.iter().filter(|micros| (**micros as f64) < bound * 1e6).count() as u64;
            assert_eq!(below, exact, "{bound}");
        }
        assert_eq!(traffic.response_time(), Duration::from_micros(times.iter().sum()));
    }

    #[test]
    fn workers_count_apart_and_are_told_together_until_the_address_changes() {
        let balancer = Balancer::builder().upstream(UpstreamConfig::new("a", "a:1")).build().unwrap();
        let upstream = || Arc::clone(balancer.cluster().find_name("a").unwrap().upstream());
        let ledger = Ledger::default();
        let (one, two) = (ledger.worker(), ledger.worker());
        let first = upstream();
        ledger.cell(one, &first).sent(1);
        ledger.cell(two, &first).sent(2);
        ledger.cell(one, &first).received(4);
        assert!(!Arc::ptr_eq(&ledger.cell(one, &first), &ledger.cell(two, &first)));
        let open = OpenTunnel::new(ledger.cell(two, &first));
        let sum = ledger.sum(&first);
        assert_eq!((sum.sent_bytes(), sum.received_bytes(), sum.tunnels()), (3, 4, 1));
        drop(open);
        assert_eq!(ledger.sum(&first).tunnels(), 0);

        balancer.apply(balancer.plan(&[Change::Put(UpstreamConfig::new("a", "a:2"))]).unwrap()).unwrap();
        ledger.cell(one, &upstream()).sent(8);
        assert_eq!(ledger.sum(&upstream()).sent_bytes(), 8);
    }
}
