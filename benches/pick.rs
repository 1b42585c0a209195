//! A complete pick, from the request to the dropped lease: placement by each policy in clusters of four sizes, and the
//! cost of affinity. `cargo bench -p homing-benches --bench pick`; a filter such as `-- p2c` selects some.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that cannot go on should say where")]

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use homing::cluster::Session;
use homing::rng::{Entropy, OsEntropy, SeededEntropy};
use homing::{
    Affinity, Availability, Balancer, Change, Decision, KeyRing, PinLoss, Request, Timestamp, Token, UpstreamConfig,
    policy,
};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SIZES: [usize; 4] = [10, 100, 1000, 10_000];
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
/// Enough that neither branch predictor nor cache predicts the next one; a power of two.
const CLIENTS: usize = 4096;

fn upstreams(count: usize) -> impl Iterator<Item = UpstreamConfig> {
    (0..count).map(|i| UpstreamConfig::new(format!("app-{i}"), format!("10.0.{}.{}:8080", i / 256, i % 256)))
}

fn bound(count: usize, entropy: impl Entropy + 'static) -> Balancer {
    let keys = KeyRing::builder("bench", [1; 32]).sign_with(0, [2; 32]).build().unwrap();
    Balancer::builder()
        .upstreams(upstreams(count))
        .policy("p2c")
        .affinity(Affinity::builder(keys).build().unwrap())
        .entropy(entropy)
        .build()
        .unwrap()
}

fn sessions(balancer: &Balancer) -> Vec<Token> {
    (0..CLIENTS).map(|_| balancer.pick(&Request::new(NOW)).unwrap().token.unwrap()).collect()
}

/// Counts through `0..CLIENTS` in a cycle.
fn turns() -> impl FnMut() -> usize {
    let mut turn = 0;
    move || {
        turn = (turn + 1) % CLIENTS;
        turn
    }
}

/// The cost on this machine of the primitives that every pick needs.
fn floor(c: &mut Criterion) {
    let mut group = c.benchmark_group("floor");
    let counter = AtomicU64::new(0);
    group.bench_function("locked add", |b| b.iter(|| counter.fetch_add(1, Ordering::Relaxed)));
    let shared = Arc::new(0_u64);
    group.bench_function("Arc clone and drop", |b| b.iter(|| Arc::clone(black_box(&shared))));
    let snapshot = arc_swap::ArcSwap::from(shared);
    group.bench_function("snapshot load and drop", |b| b.iter(|| **snapshot.load()));
    group.bench_function("OsEntropy", |b| b.iter(|| OsEntropy.next().unwrap()));
}

/// Each policy alone, and in a balancer: with the snapshot, and a lease that is taken and dropped. A client has an
/// address, for `ip_hash`, and a key of 16 bytes, for the other hash policies.
fn placement(c: &mut Criterion) {
    let entropy = SeededEntropy::new(1);
    let draw = || entropy.next().unwrap();
    let client = |session_id: u64| {
        (session_id, IpAddr::from(Ipv4Addr::from_bits(draw() as u32)), [draw(), draw()].map(u64::to_le_bytes))
    };
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(draw())).collect();
    for entry in policy::registry() {
        let factory = entry.configure(policy::Params::new()).unwrap();
        let mut group = c.benchmark_group(entry.name);
        for size in SIZES {
            let balancer = Balancer::builder().upstreams(upstreams(size)).policy(entry.name).build().unwrap();
            let balancer = Arc::new(balancer);
            let cluster = balancer.cluster();
            let policy = factory(&cluster);
            let mut turn = turns();
            group.bench_function(BenchmarkId::new("place", size), |b| {
                b.iter(|| {
                    let (session_id, client, key) = &clients[turn()];
                    let session = Session::new(*session_id, NOW).client(*client).key(key.as_flattened());
                    policy.place(&cluster, &session)
                });
            });
            drop(policy);
            group.bench_function(BenchmarkId::new("pick and lease", size), |b| {
                b.iter(|| {
                    let (_, client, key) = &clients[turn()];
                    balancer.pick(&Request::new(NOW).client(*client).key(key.as_flattened())).unwrap()
                });
            });
            let mut picker = balancer.picker();
            group.bench_function(BenchmarkId::new("pick and lease, by a picker", size), |b| {
                b.iter(|| {
                    let (_, client, key) = &clients[turn()];
                    picker.pick(&Request::new(NOW).client(*client).key(key.as_flattened())).unwrap()
                });
            });
        }
    }
}

/// Picks while every other upstream is down.
fn half_down(c: &mut Criterion) {
    for policy in ["p2c", "least_conn"] {
        let mut group = c.benchmark_group(format!("{policy}, half down"));
        for size in SIZES {
            let balancer = Balancer::builder().upstreams(upstreams(size)).policy(policy).build().unwrap();
            for member in balancer.cluster().members().iter().step_by(2) {
                member.upstream().set_availability(Availability::DOWN);
            }
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| balancer.pick(&Request::new(NOW)).unwrap());
            });
        }
    }
}

fn affinity(c: &mut Criterion) {
    let mut group = c.benchmark_group("affinity");
    for size in SIZES {
        let balancer = bound(size, SeededEntropy::new(1));
        let tokens = sessions(&balancer);
        let mut turn = turns();
        group.bench_function(BenchmarkId::new("pinned", size), |b| {
            b.iter(|| {
                let pick = balancer.pick(&Request::new(NOW).tokens(&[tokens[turn()].as_bytes()])).unwrap();
                assert_eq!(pick.decision, Decision::Pinned);
                pick
            });
        });
    }

    {
        use homing::http::{CookieName, cookie};
        let name = CookieName::new("homing").unwrap();
        let balancer = bound(10, SeededEntropy::new(1));
        let headers: Vec<String> = sessions(&balancer)
            .iter()
            .map(|token| {
                format!("theme=dark; ASP.NET_SessionId=wq4h1zv0lm2yq0cn3x5tjb5e; homing={}; lang=en", token.as_str())
            })
            .collect();
        let mut turn = turns();
        group.bench_function("pinned, from the Cookie header", |b| {
            b.iter(|| {
                let tokens = cookie::tokens([headers[turn()].as_bytes()], &name);
                let pick = balancer.pick(&Request::new(NOW).tokens(&tokens)).unwrap();
                assert_eq!(pick.decision, Decision::Pinned);
                pick
            });
        });
    }

    let balancer = bound(10, SeededEntropy::new(1));
    group.bench_function("new, seeded entropy", |b| b.iter(|| balancer.pick(&Request::new(NOW)).unwrap()));
    let os = bound(10, OsEntropy);
    group.bench_function("new, OS entropy", |b| b.iter(|| os.pick(&Request::new(NOW)).unwrap()));

    for size in SIZES {
        let balancer = bound(size, SeededEntropy::new(1));
        let tokens = sessions(&balancer);
        for member in balancer.cluster().members().iter().step_by(2) {
            member.upstream().set_availability(Availability::DOWN);
        }
        let mut displaced = tokens.iter().filter(|token| {
            balancer.pick(&Request::new(NOW).tokens(&[token.as_bytes()]).no_wait()).unwrap().decision
                != Decision::Pinned
        });
        let displaced: Vec<&Token> = displaced.by_ref().collect();
        let mut turn = turns();
        group.bench_function(BenchmarkId::new("failover_target", size), |b| {
            b.iter(|| {
                let token = displaced[turn() % displaced.len()];
                let pick = balancer.pick(&Request::new(NOW).tokens(&[token.as_bytes()]).no_wait()).unwrap();
                assert_eq!(pick.decision, Decision::PinLost(PinLoss::NotServing));
                pick
            });
        });
    }
}

/// Membership changes: planning and applying the removal and the addition of one upstream.
fn change(c: &mut Criterion) {
    for entry in policy::registry() {
        let mut group = c.benchmark_group(format!("membership update: {}", entry.name));
        for size in SIZES {
            let balancer = Balancer::builder().upstreams(upstreams(size)).policy(entry.name).build().unwrap();
            let one = upstreams(size).nth(size / 2).unwrap();
            let less = [Change::Remove(format!("app-{}", size / 2))];
            let more = [Change::Put(one)];
            let update = |changes: &[Change]| balancer.apply(balancer.plan(changes).unwrap()).unwrap();
            group.bench_function(BenchmarkId::new("less", size), |b| {
                b.iter_batched(|| update(&more), |_| update(&less), BatchSize::PerIteration);
            });
            group.bench_function(BenchmarkId::new("more", size), |b| {
                update(&more);
                b.iter_batched(|| update(&less), |_| update(&more), BatchSize::PerIteration);
            });
            group.bench_function(BenchmarkId::new("built anew", size), |b| {
                b.iter(|| Balancer::builder().upstreams(upstreams(size)).policy(entry.name).build().unwrap());
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = floor, placement, half_down, affinity, change
}
criterion_main!(benches);
