//! The two places where a policy keeps an index instead of doing the simple thing, beside that simple thing:
//! `least_conn`'s load index and a scan of all upstreams; `rendezvous`' dealt table and the score of every upstream for
//! every slot. `cargo bench -p homing-benches --bench alternatives`; the modules' documentation quotes the figures.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that cannot go on should say where")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use homing::cluster::{Cluster, Session};
use homing::policy::{Policy, Rendezvous};
use homing::rng::SeededEntropy;
use homing::{Balancer, Request, Timestamp, UpstreamConfig};
use std::hint::black_box;
use std::time::Duration;

const SIZES: [usize; 3] = [10, 100, 1000];
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn upstreams(count: usize) -> impl Iterator<Item = UpstreamConfig> {
    (0..count).map(|i| UpstreamConfig::new(format!("app-{i}"), format!("10.0.{}.{}:8080", i / 256, i % 256)))
}

/// Least connections by a scan of all upstreams.
#[derive(Debug)]
struct Scan;

impl Policy for Scan {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let mut best: Option<(usize, u64, u64)> = None;
        for (index, member) in cluster.members().iter().enumerate() {
            let (load, weight) = (u64::from(member.upstream().in_flight()), u64::from(member.weight()));
            let fewer = best.is_none_or(|(_, least, its_weight)| load * its_weight < least * weight);
            if fewer && cluster.accepts(index, session) {
                best = Some((index, load, weight));
            }
        }
        best.map(|(index, ..)| index)
    }
}

/// A pick and its lease, with three requests in flight an upstream.
fn least_connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("least connections");
    for size in SIZES {
        let builder = || Balancer::builder().upstreams(upstreams(size)).entropy(SeededEntropy::new(1));
        let variants = [
            ("scan", builder().policy_with(|_| Box::new(Scan)).build().unwrap()),
            ("index", builder().policy("least_conn").build().unwrap()),
        ];
        for (name, balancer) in variants {
            let _load: Vec<_> = (0..3 * size).map(|_| balancer.pick(&Request::new(NOW)).unwrap()).collect();
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter(|| balancer.pick(black_box(&Request::new(NOW))).unwrap());
            });
        }
    }
    group.finish();
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An exponential variate of a slot (or a key) for an upstream; the lowest wins.
fn score(slot: u64, id: u64) -> f64 {
    let uniform = ((mix(slot ^ id) >> 12) | 1) as f64 / (1_u64 << 52) as f64;
    -uniform.ln()
}

/// The first of `ids` by score.
fn first(slot: u64, ids: &[u64]) -> usize {
    let scores = ids.iter().map(|id| score(slot, *id)).enumerate();
    scores.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(index, _)| index)
}

/// The table of one cluster, and one pick.
fn rendezvous(c: &mut Criterion) {
    let mut group = c.benchmark_group("rendezvous");
    group.sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(100));
    for size in SIZES {
        let balancer = Balancer::builder().upstreams(upstreams(size)).build().unwrap();
        let cluster = balancer.cluster();
        let ids: Vec<u64> = cluster.members().iter().map(|member| mix(member.upstream().id().as_u64())).collect();
        // The size that the policy chooses: 256 slots an upstream, in powers of four from 4096 on.
        let slots = [4096_u64, 16_384, 65_536, 262_144].into_iter().find(|slots| *slots >= 256 * size as u64).unwrap();
        group.bench_function(BenchmarkId::new("table: every score", size), |b| {
            b.iter(|| (0..slots).map(|slot| first(mix(slot), &ids)).collect::<Vec<_>>());
        });
        group.bench_function(BenchmarkId::new("table: dealt", size), |b| b.iter(|| Rendezvous::new(&cluster)));
        let policy = Rendezvous::new(&cluster);
        let mut key = 0;
        group.bench_function(BenchmarkId::new("pick: every score", size), |b| {
            b.iter(|| {
                key += 1;
                first(mix(key), &ids)
            });
        });
        group.bench_function(BenchmarkId::new("pick: table", size), |b| {
            b.iter(|| {
                key += 1;
                policy.place(&cluster, &Session::new(mix(key), NOW))
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = alternatives;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = least_connections, rendezvous
}
criterion_main!(alternatives);
