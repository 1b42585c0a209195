//! Many seeds on all cores, and one again with everything told.

use crate::simulation::tally::Tally;
use crate::simulation::world::World;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How many seeds an ordinary test run takes.
const SLICE: u64 = 200;

/// Why idempotent requests may go without an answer, and the most of all requests that may, over many seeds. What
/// upstreams are put through here is far worse than life; the bounds are there so that exemptions hide no failures.
const EXEMPTIONS: &[(&str, f64)] = &[
    ("all tried", 0.003),
    ("broke off", 0.0001),
    ("no retries left", 0.002),
    ("nobody accepts", 0.01),
    ("nobody accepts, though some are well", 0.01),
    ("not to be moved", 0.005),
    ("queue timeout", 0.02),
    ("response timeout", 0.01),
];

#[expect(clippy::disallowed_methods, reason = "how to run it is no part of what is run")]
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn run(seed: u64) -> Tally {
    let mut world = World::new(seed, None);
    match world.run() {
        Ok(()) => world.tally,
        Err(violation) => panic!("seed {seed} (again with HOMING_SEED={seed}): {violation}"),
    }
}

fn run_and_tell(seed: u64) {
    let mut world = World::new(seed, None);
    world.is_told = true;
    println!("{:#?}", world.scenario);
    if let Err(violation) = world.run() {
        panic!("seed {seed}: {violation}");
    }
    print!("{}", world.tally);
}

/// `HOMING_SEEDS=10000` for more of them, `HOMING_SEED=N` for one with everything told.
#[test]
fn the_invariants_hold_at_every_step() {
    if let Some(seed) = given("HOMING_SEED") {
        return run_and_tell(seed);
    }
    let seeds = given("HOMING_SEEDS").unwrap_or(SLICE);
    let (next, total) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let failures: Mutex<Vec<(u64, String)>> = Mutex::default();
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut tally = Tally::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let mut world = World::new(seed, None);
                    match world.run() {
                        Ok(()) => tally.add(&world.tally),
                        Err(violation) => failures.lock().unwrap().push((seed, violation.to_string())),
                    }
                }
                total.lock().unwrap().add(&tally);
            });
        }
    });
    let tally = total.into_inner().unwrap();
    println!("{tally}");
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    for (seed, violation) in failures.iter().take(20) {
        println!("HOMING_SEED={seed}: {violation}");
    }
    assert!(failures.is_empty(), "{} of {seeds} seeds fail", failures.len());
    for (exemption, most) in EXEMPTIONS {
        let share = tally.counts["exempt"].get(exemption).copied().unwrap_or(0) as f64 / tally.requests as f64;
        assert!(share <= *most, "{exemption}: {share} of all requests");
    }
}

#[test]
fn a_seed_repeats_to_the_digit() {
    for seed in [3, 33] {
        assert!(run(seed) == run(seed), "seed {seed} does not repeat");
    }
}
