//! The cost of placing a key and of a change of the upstreams: Homing compared with other crates, in one run.
//!
//! `cargo bench` in this directory; a filter such as `-- 'select/100$'` selects some. Then `./report.py`.
//!
//! - `select/N`: placing a key on one of N upstreams. `homing NAME, policy alone` is the policy without a balancer, as
//!   most crates are; `homing NAME` is a complete pick with its snapshot, its lease and the drop of the lease. Of the
//!   peers, pingora-load-balancing checks health and tower counts requests in flight.
//! - `update/N`: removing and adding one upstream, until keys are placed by the new set.
#![allow(missing_docs, reason = "criterion's macros document nothing")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use homing_peers::{Key, Placement, Visitor, key, ours, peers};
use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

const SIZES: [usize; 4] = [10, 100, 1000, 10_000];
/// Enough that neither branch predictor nor cache predicts the next one; a power of two.
const KEYS: usize = 4096;

/// Checks `placement` with every key before it is measured: each answer must be one of the upstreams, and together they
/// must cover many of them.
fn checked<P: Placement>(name: &str, mut placement: P, size: usize, keys: &[Key]) -> P {
    let mut used = HashSet::new();
    for key in keys {
        let answer = placement.place(key);
        let number = placement.number(&answer);
        assert!(number < size, "{name} places {key:?} on {number} of {size}");
        used.insert(number);
    }
    assert!(4 * used.len() >= size.min(KEYS), "{name} uses {} of {size}", used.len());
    placement
}

struct Select<'a, 'c> {
    group: BenchmarkGroup<'c, WallTime>,
    size: usize,
    keys: &'a [Key],
}

impl Visitor for Select<'_, '_> {
    fn visit<P: Placement>(&mut self, name: &str, build: impl Fn(Range<usize>) -> P) {
        if self.size > P::MOST {
            return;
        }
        // Built lazily, since a filter may skip it.
        let mut built = None;
        self.group.bench_function(name, |b| {
            let placement = built.get_or_insert_with(|| checked(name, build(0..self.size), self.size, self.keys));
            let mut turn = 0;
            b.iter(|| {
                turn = (turn + 1) % KEYS;
                placement.place(&self.keys[turn])
            });
        });
    }
}

struct Update<'a, 'c>(Select<'a, 'c>);

impl Visitor for Update<'_, '_> {
    fn visit<P: Placement>(&mut self, name: &str, build: impl Fn(Range<usize>) -> P) {
        let Select { group, size, keys } = &mut self.0;
        if *size > P::MOST {
            return;
        }
        let other = if P::LAST_ONLY { *size - 1 } else { *size / 2 };
        let mut built = None;
        group.bench_function(name, |b| {
            let placement = built.get_or_insert_with(|| {
                let mut placement = checked(name, build(0..*size), *size, keys);
                placement.remove(other);
                for key in *keys {
                    let answer = placement.place(key);
                    assert_ne!(placement.number(&answer), other, "{name} places {key:?} on a removed upstream");
                }
                placement.add(other);
                checked(name, placement, *size, keys)
            });
            b.iter(|| {
                placement.remove(other);
                placement.add(other);
            });
        });
    }
}

fn select(c: &mut Criterion) {
    let keys: Vec<Key> = (0..KEYS as u64).map(key).collect();
    for size in SIZES {
        let mut select = Select { group: c.benchmark_group(format!("select/{size}")), size, keys: &keys };
        ours::alone(&mut select);
        ours::whole(&mut select);
        peers(&mut select);
    }
}

fn update(c: &mut Criterion) {
    let keys: Vec<Key> = (0..KEYS as u64).map(key).collect();
    for size in SIZES {
        let mut group = c.benchmark_group(format!("update/{size}"));
        group.sample_size(10);
        let mut update = Update(Select { group, size, keys: &keys });
        ours::whole(&mut update);
        peers(&mut update);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = select, update
}
criterion_main!(benches);
