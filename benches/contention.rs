//! Two threads that pick and drop concurrently, compared with one thread: the cost of sharing for each policy.
//!
//! `cargo bench -p homing-benches --bench contention`; a filter such as `-- least_conn` selects some. On a machine with
//! busy cores the two threads may never run at the same time, and the figures then mean little.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that cannot go on should say where")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use homing::{Balancer, Request, Timestamp, UpstreamConfig};
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const POLICIES: [&str; 4] = ["p2c", "least_conn", "round_robin", "random"];
const SIZES: [usize; 3] = [10, 1000, 10_000];

fn balancer(policy: &str, size: usize) -> Balancer {
    let upstream = |i| UpstreamConfig::new(format!("app-{i}"), format!("10.0.{}.{}:8080", i / 256, i % 256));
    Balancer::builder().upstreams((0..size).map(upstream)).policy(policy).build().unwrap()
}

/// The longest time that one of `threads`, which begin together, takes for its `picks`.
#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn race(balancer: &Balancer, threads: usize, picks: u64) -> Duration {
    let begin = Barrier::new(threads);
    thread::scope(|scope| {
        let racers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    drop(balancer.pick(&Request::new(NOW)));
                    begin.wait();
                    let began = Instant::now();
                    for _ in 0..picks {
                        drop(black_box(balancer.pick(&Request::new(NOW)).unwrap()));
                    }
                    began.elapsed()
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).max().unwrap()
    })
}

fn contention(c: &mut Criterion) {
    for threads in [1, 2] {
        let mut group = c.benchmark_group(format!("pick and drop, {threads} at once"));
        // The reported time is for one pick of each thread.
        group.throughput(Throughput::Elements(threads as u64));
        for policy in POLICIES {
            for size in SIZES {
                let balancer = balancer(policy, size);
                group.bench_function(BenchmarkId::new(policy, size), |b| {
                    b.iter_custom(|picks| race(&balancer, threads, picks));
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = contention
}
criterion_main!(benches);
