//! What placing a key costs, and a change of the upstreams: Homing beside other crates, in one run.
//!
//! `cargo bench` in this directory; a filter such as `-- 'select/100$'` narrows it. Then `./report.py`.
//!
//! - `select/N`: a key's upstream of N. `homing NAME, policy alone` is the policy by itself, as most crates are;
//!   `homing NAME` is a whole pick with its snapshot, its lease and the end of it. Of the peers
//!   pingora-load-balancing checks health and tower counts requests in flight, and both are told by theirs.
//! - `update/N`: one upstream out and in again, until keys are placed by the new set.
#![allow(missing_docs, reason = "criterion's macros document nothing")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use homing_peers::{Key, Placement, Visitor, key, ours, peers};
use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

const SIZES: [usize; 4] = [10, 100, 1000, 10_000];
/// Enough that neither branch predictor nor cache knows the next, a power of two.
const KEYS: usize = 4096;

/// Asks `placement` for every key before its time is taken: each answer has to be one of the upstreams, and together
/// they have to be many of them.
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
        // Built when it is its turn, for a filter may pass it over.
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
                    assert_ne!(placement.number(&answer), other, "{name} places {key:?} on what is gone");
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
