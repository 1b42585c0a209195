//! Statistics of each upstream: bytes, tunnels, and response times.
//!
//! Counters share no cache line between workers: each worker has counters of its own for every upstream, which a
//! connection looks up once, when it is made. A request adds to them and looks nothing up; a reader sums them over
//! the workers.
//!
//! Exact latency quantiles would need all observations. These come from buckets, four an octave from 64 µs to two
//! minutes, so they are exact to less than a quarter. Prometheus gets every fourth bound.

use crate::cluster::{IdMap, Upstream};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Buckets an octave: a quantile is exact to less than a quarter.
const STEPS: u64 = 4;

/// Responses within 2^6 µs share the first bucket.
const FIRST_OCTAVE: u32 = 6;

/// From 64 µs to 2^27 µs, some two minutes; the last bucket has all that took longer.
const BUCKETS: usize = 4 * 21 + 2;

/// What one worker has counted of one upstream. Aligned to two cache lines, since x86-64 prefetches them in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerStatistics {
    received: AtomicU64,
    sent: AtomicU64,
    tunnels: AtomicU64,
    micros: AtomicU64,
    responses: [AtomicU64; BUCKETS],
}

impl Default for WorkerStatistics {
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

impl WorkerStatistics {
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A response's head came `after` its request was sent.
    pub(crate) fn responded(&self, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.responses[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts a tunnel as open while it lives.
#[derive(Debug)]
pub(crate) struct OpenTunnel(Arc<WorkerStatistics>);

impl OpenTunnel {
    pub(crate) fn new(statistics: Arc<WorkerStatistics>) -> Self {
        statistics.tunnels.fetch_add(1, Ordering::Relaxed);
        Self(statistics)
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bucket of a response time: there are four of equal width an octave.
fn bucket(micros: u64) -> usize {
    if micros < 1 << FIRST_OCTAVE {
        return 0;
    }
    let octave = micros.ilog2();
    let step = (micros >> (octave - STEPS.ilog2())) - STEPS;
    let index = 1 + u64::from(octave - FIRST_OCTAVE) * STEPS + step;
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The exclusive upper bound of a bucket; none for the last.
fn bound(bucket: usize) -> Option<Duration> {
    (bucket < BUCKETS - 1).then(|| {
        let (octave, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
        Duration::from_micros(((STEPS + step) << (u64::from(FIRST_OCTAVE) + octave)) / STEPS)
    })
}

/// The statistics of all workers.
#[derive(Debug, Default)]
pub(crate) struct StatisticsRegistry {
    workers: AtomicUsize,
    by_upstream: Mutex<IdMap<UpstreamStatistics>>,
}

#[derive(Debug)]
struct UpstreamStatistics {
    /// A changed address makes another `Upstream` of the same id, whose figures start from 0.
    upstream: Weak<Upstream>,
    /// With the number of the worker.
    by_worker: Vec<(usize, Arc<WorkerStatistics>)>,
}

impl StatisticsRegistry {
    /// The number of one more worker.
    pub(crate) fn add_worker(&self) -> usize {
        self.workers.fetch_add(1, Ordering::Relaxed)
    }

    /// The counters of `worker` for `upstream`. Takes a lock: call it once a connection.
    pub(crate) fn worker_statistics(&self, worker: usize, upstream: &Arc<Upstream>) -> Arc<WorkerStatistics> {
        let mut by_upstream = self.by_upstream.lock();
        if !by_upstream.get(&upstream.id()).is_some_and(|entry| entry.is_of(upstream)) {
            by_upstream.retain(|_, entry| entry.upstream.strong_count() > 0);
            by_upstream.insert(
                upstream.id(),
                UpstreamStatistics { upstream: Arc::downgrade(upstream), by_worker: Vec::new() },
            );
        }
        let Some(entry) = by_upstream.get_mut(&upstream.id()) else { return Arc::default() };
        match entry.by_worker.iter().find(|(number, _)| *number == worker) {
            Some((_, statistics)) => Arc::clone(statistics),
            None => {
                let statistics = Arc::<WorkerStatistics>::default();
                entry.by_worker.push((worker, Arc::clone(&statistics)));
                statistics
            }
        }
    }

    pub(crate) fn sum(&self, upstream: &Upstream) -> Traffic {
        let mut sum = Traffic::default();
        if let Some(entry) = self.by_upstream.lock().get(&upstream.id()).filter(|entry| entry.is_of(upstream)) {
            entry.by_worker.iter().for_each(|(_, statistics)| sum.add(statistics));
        }
        sum
    }
}

impl UpstreamStatistics {
    fn is_of(&self, upstream: &Upstream) -> bool {
        std::ptr::eq(self.upstream.as_ptr(), upstream)
    }
}

/// What has passed between a proxy and an upstream since the later of the two was made, over all workers. Probes are
/// not counted.
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
        let (statistics, mut traffic) = (WorkerStatistics::default(), Self::default());
        (0..count).for_each(|_| statistics.responded(after));
        traffic.add(&statistics);
        traffic
    }

    fn add(&mut self, statistics: &WorkerStatistics) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.received += count(&statistics.received);
        self.sent += count(&statistics.sent);
        self.tunnels += count(&statistics.tunnels);
        self.micros = self.micros.wrapping_add(count(&statistics.micros));
        self.responses.iter_mut().zip(&statistics.responses).for_each(|(sum, counter)| *sum += count(counter));
    }

    /// The difference to `earlier`, an older value of the same upstream. Tunnels are those that are open now.
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

    /// Bytes received from the upstream: heads, bodies and tunnels.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// Bytes sent to the upstream: heads, bodies and tunnels.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent
    }

    /// How many requests were answered: the head of a response came.
    #[must_use]
    pub fn responses(&self) -> u64 {
        self.responses.iter().sum()
    }

    /// The sum of all response times: from sending a request to the head of its response.
    #[must_use]
    pub fn response_time(&self) -> Duration {
        Duration::from_micros(self.micros)
    }

    /// The quantile `q` (0 to 1) of response times, exact to less than a quarter and at most some two minutes. `None`
    /// where there was no response.
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

    /// A histogram of response times: upper bounds in seconds, octave by octave, each with the count of its own
    /// bucket (not cumulative). The last bound is infinity.
    pub fn response_buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut next = 0;
        (0..BUCKETS - 1).step_by(STEPS as usize).chain([BUCKETS - 1]).map(move |last| {
            let count = self.responses[next..=last].iter().sum();
            next = last + 1;
            (bound(last).map_or(f64::INFINITY, |bound| bound.as_secs_f64()), count)
        })
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
        let statistics = WorkerStatistics::default();
        let mut times: Vec<u64> = (1..=1000).map(|n| 70 + n * n * 7 % 90_000).collect();
        times.iter().for_each(|micros| statistics.responded(Duration::from_micros(*micros)));
        times.sort_unstable();
        let mut traffic = Traffic::default();
        assert_eq!(traffic.response_quantile(0.5), None);
        traffic.add(&statistics);
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
        let registry = StatisticsRegistry::default();
        let (one, two) = (registry.add_worker(), registry.add_worker());
        let first = upstream();
        registry.worker_statistics(one, &first).sent(1);
        registry.worker_statistics(two, &first).sent(2);
        registry.worker_statistics(one, &first).received(4);
        assert!(!Arc::ptr_eq(&registry.worker_statistics(one, &first), &registry.worker_statistics(two, &first)));
        let open = OpenTunnel::new(registry.worker_statistics(two, &first));
        let sum = registry.sum(&first);
        assert_eq!((sum.sent_bytes(), sum.received_bytes(), sum.tunnels()), (3, 4, 1));
        drop(open);
        assert_eq!(registry.sum(&first).tunnels(), 0);

        balancer.apply(balancer.plan(&[Change::Put(UpstreamConfig::new("a", "a:2"))]).unwrap()).unwrap();
        registry.worker_statistics(one, &upstream()).sent(8);
        assert_eq!(registry.sum(&upstream()).sent_bytes(), 8);
    }
}
