//! The quality of placement, in counts that are equal on every machine: prints the tables of docs/PLACEMENT.md.
//!
//! `cargo run --release --example placement_quality` in `benches/peers`; sizes as arguments choose others than 10, 100,
//! 1000 and 10,000 upstreams, all of one weight.
//!
//! Most policies look up a key's hash in a table of which each slot has the same share of all keys. Such a table is
//! detected from outside: keys that have the same upstreams in several clusters of different upstreams share a slot. If
//! the keys fall on the slots as evenly as random ones do, one key per slot represents all keys, and the figures are
//! exact. Otherwise (rings, whose arcs differ) they are counted over so many keys that sampling adds little; the column
//! `chance` says how much: the max/avg of as many keys placed at random.
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use homing_peers::{Key, Placement, Visitor, key, ours, peers};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Range, RangeInclusive};

const SIZES: [usize; 4] = [10, 100, 1000, 10_000];
/// The number of upstreams that are removed, one at a time, since one may have more or fewer keys than its share.
const GONE: usize = 4;
/// The most slots of a table that is detected; Homing's largest has half as many.
const MOST_SLOTS: usize = 1 << 21;
/// The mean number of keys per slot at which all slots are taken as found: e^-32 of them would be missing.
const KEYS_A_SLOT: u64 = 32;
/// The number of keys to count without a table: this many for each upstream, within these bounds.
const SAMPLE_EACH: u64 = 1 << 12;
const SAMPLE: RangeInclusive<u64> = 1 << 22..=1 << 24;
/// The most visits of upstreams by algorithms that visit all for each key. They are left out where this allows too few
/// keys.
const LOOKS: u64 = 1 << 27;
const FEW_EACH: u64 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let sizes = std::env::args().skip(1).map(|size| size.parse()).collect::<Result<Vec<usize>, _>>()?;
    for size in if sizes.is_empty() { &SIZES[..] } else { &sizes } {
        println!("### {size} upstreams\n");
        println!("| | max/avg | chance | moved on −1 | moved on +1 | bytes an upstream | counted over |");
        println!("|---|---:|---:|---:|---:|---:|---:|");
        let mut rows = Rows { size: *size };
        ours::keyed(&mut rows);
        peers(&mut rows);
        let (bare, _balancer) = held(|| ours::bare(0..*size));
        println!("\nOf Homing's bytes {} are the cluster's and the same for each policy.\n", bare / *size as i64);
    }
    Ok(())
}

/// Prints a row for each algorithm.
struct Rows {
    size: usize,
}

impl Visitor for Rows {
    fn visit<P: Placement>(&mut self, name: &str, build: impl Fn(Range<usize>) -> P) {
        let size = self.size;
        let sample = (SAMPLE_EACH * size as u64).clamp(*SAMPLE.start(), *SAMPLE.end());
        let sample = if P::SCANS { sample.min(LOOKS / size as u64) } else { sample };
        if !P::KEYED || size > P::MOST || sample < FEW_EACH * size as u64 {
            return;
        }
        let bytes = held(|| build(0..size)).0 / size as i64;
        let mut clusters = Clusters::new(size, &build);
        let slots = if P::SCANS { None } else { clusters.slots() };
        let (keys, over) = match &slots {
            Some(slots) => (slots.len() as u64, format!("{} slots, all", slots.len())),
            None => (sample, format!("{sample} keys")),
        };
        let chance = if slots.is_some() { "–".to_owned() } else { format!("{:.3}", chance(size, keys)) };
        let counted = match slots {
            Some(slots) => clusters.count(slots),
            None => clusters.count(0..keys),
        };
        let Counted { max_avg, less, more } = counted;
        println!("| {name} | {max_avg:.3} | {chance} | {less:.2} | {more:.2} | {bytes} | {over} |");
    }
}

struct Counted {
    /// The most keys of an upstream relative to the mean.
    max_avg: f64,
    /// Keys that the removal of one upstream moves, as a multiple of an upstream's share.
    less: f64,
    /// Keys that the addition of one upstream moves, as a multiple of an upstream's share afterwards.
    more: f64,
}

/// A cluster, and others for comparison.
struct Clusters<P> {
    size: usize,
    whole: P,
    /// The cluster without one upstream, for several upstreams.
    less: Vec<P>,
    /// The cluster with one more upstream.
    more: P,
    /// Clusters of as many other upstreams, which distinguish slots.
    others: Vec<P>,
}

impl<P: Placement> Clusters<P> {
    fn new(size: usize, build: &impl Fn(Range<usize>) -> P) -> Self {
        let without = |n: usize| {
            let mut cluster = build(0..size);
            cluster.remove(if P::LAST_ONLY { size - 1 } else { (2 * n + 1) * size / (2 * GONE) });
            cluster
        };
        let mut more = build(0..size);
        more.add(size);
        // Together they distinguish 2^48 slots.
        let others = if P::SCANS { 0 } else { (48.0 / (size as f64).log2()).ceil() as usize };
        Self {
            size,
            whole: build(0..size),
            less: (0..if P::LAST_ONLY { 1 } else { GONE }).map(without).collect(),
            more,
            others: (1..=others).map(|n| build(2 * n * size..(2 * n + 1) * size)).collect(),
        }
    }

    /// One key of each slot, if the algorithm uses a table.
    fn slots(&mut self) -> Option<Vec<u64>> {
        // By the hash of its placements: the first key of a slot and the number of keys.
        let mut slots: HashMap<u64, (u64, u32)> = HashMap::new();
        let mut keys = 0;
        while keys < KEYS_A_SLOT * slots.len().max(1 << 10) as u64 {
            slots.entry(self.places(keys)).or_insert((keys, 0)).1 += 1;
            keys += 1;
            if slots.len() > MOST_SLOTS || keys.is_power_of_two() && !even(keys, &slots) {
                return None;
            }
        }
        even(keys, &slots).then(|| slots.into_values().map(|(key, _)| key).collect())
    }

    /// The hash of a key's placements in all clusters.
    fn places(&mut self, number: u64) -> u64 {
        let key = key(number);
        let mut hasher = DefaultHasher::new();
        let clusters = [&mut self.whole, &mut self.more].into_iter().chain(&mut self.less).chain(&mut self.others);
        for cluster in clusters {
            let answer = cluster.place(&key);
            cluster.number(&answer).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn count(&mut self, keys: impl IntoIterator<Item = u64>) -> Counted {
        let at = |cluster: &mut P, key: &Key| {
            let answer = cluster.place(key);
            cluster.number(&answer)
        };
        let (mut total, mut less, mut more) = (0_u64, 0_u64, 0_u64);
        let mut held = vec![0_u64; self.size];
        for number in keys {
            let key = key(number);
            let place = at(&mut self.whole, &key);
            total += 1;
            held[place] += 1;
            more += u64::from(at(&mut self.more, &key) != place);
            less += self.less.iter_mut().map(|cluster| u64::from(at(cluster, &key) != place)).sum::<u64>();
        }
        let (total, size) = (total as f64, self.size as f64);
        let max = held.into_iter().max().unwrap_or_default() as f64;
        Counted {
            max_avg: max * size / total,
            less: less as f64 / self.less.len() as f64 * size / total,
            more: more as f64 * (size + 1.0) / total,
        }
    }
}

/// Whether the counts may be those of uniformly random keys, whose variance is at most their mean.
fn even(keys: u64, slots: &HashMap<u64, (u64, u32)>) -> bool {
    let mean = keys as f64 / slots.len() as f64;
    let squares = slots.values().map(|(_, count)| (f64::from(*count) - mean).powi(2));
    let uncertainty = (2.0 / slots.len() as f64).sqrt();
    squares.sum::<f64>() / keys as f64 <= 1.0 + 6.0 * uncertainty
}

/// The max/avg of `keys` keys placed on `size` upstreams at random.
fn chance(size: usize, keys: u64) -> f64 {
    let mut held = vec![0_u64; size];
    for number in 0..keys {
        let [.., a, b, c, d] = key(number);
        held[((u64::from(u32::from_le_bytes([a, b, c, d])) * size as u64) >> 32) as usize] += 1;
    }
    held.into_iter().max().unwrap_or_default() as f64 * size as f64 / keys as f64
}

/// The result of `build`, and the bytes of the heap that it holds.
fn held<T>(build: impl FnOnce() -> T) -> (i64, T) {
    let before = HELD.get();
    let built = build();
    (HELD.get() - before, built)
}

/// The system's allocator, with a count of the bytes that each thread holds.
struct Counting;

thread_local! {
    // Neither lazy nor dropped, so the allocator can use it at any time.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: i64) {
    HELD.set(HELD.get() + sign * bytes as i64);
}

// SAFETY: every call is passed on to `System` with unchanged arguments, and `System` upholds the contract; counting
// neither allocates nor unwinds. The trait's default `alloc_zeroed` and `realloc` call these functions.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller upholds the contract of `System::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the block came from `System`, like all blocks of this allocator, and has this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
