//! Runs of many seeds on all cores, and of one seed with a log of all events.

use crate::simulation::tally::Tally;
use crate::simulation::world::World;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The number of seeds of an ordinary test run.
const SLICE: u64 = 200;

/// The reasons for which idempotent requests may get no response, and the largest share of all requests for each, over
/// many seeds. Faults are far more frequent here than in production; the bounds keep exemptions from hiding failures.
const EXEMPTIONS: &[(&str, f64)] = &[
    ("all tried", 0.003),
    ("broke off", 0.0001),
    ("no retries left", 0.002),
    ("no upstream accepts", 0.01),
    ("no upstream accepts, though some are healthy", 0.01),
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

fn run_verbose(seed: u64) {
    let mut world = World::new(seed, None);
    world.is_verbose = true;
    println!("{:#?}", world.scenario);
    if let Err(violation) = world.run() {
        panic!("seed {seed}: {violation}");
    }
    print!("{}", world.tally);
}

/// `HOMING_SEEDS=10000` runs more seeds, `HOMING_SEED=N` one with a log of all events.
#[test]
fn the_invariants_hold_at_every_step() {
    if let Some(seed) = given("HOMING_SEED") {
        return run_verbose(seed);
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
fn a_seed_is_reproducible() {
    for seed in [3, 33] {
        assert!(run(seed) == run(seed), "seed {seed} does not repeat");
    }
}
