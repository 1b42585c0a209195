//! Instances that die, hang, flap and break off, as processes behind a real gateway, and thousands of sessions that
//! should not notice. Beside them: several gateways that share an etcd (`gateways`), and the agents that report for
//! instances (`agents`).
//!
//! `cargo test -p homing-gateway --test faults` needs the program `homing` and the example `faults`, which `cargo test`
//! builds. `HOMING_FAULTS=full` runs the sizes that a release is held to, for about half an hour; the default is a
//! slice of them. `HOMING_SOAK=3600` makes the random faults last so many seconds. Linux only.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "a test shares files with the program of its processes, reads the clock and the environment, and fails by a panic"
)]

use homing_test_support as support;

mod agents;
mod answer;
mod breaks;
mod clients;
mod crashes;
mod doubles;
mod drains;
mod fleet;
mod gateways;
mod hangs;
mod judge;
mod kills;
mod load;
mod mode;
mod outages;
mod record;
mod scouts;
mod session;
mod soak;
mod socket;
mod troubles;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static TURN: RwLock<()> = RwLock::new(());

/// One scenario at a time: each loads the machine, and would be another's fault.
fn alone() -> RwLockWriteGuard<'static, ()> {
    TURN.write().unwrap_or_else(PoisonError::into_inner)
}

/// Beside others that mostly wait, and beside no scenario.
fn together() -> RwLockReadGuard<'static, ()> {
    TURN.read().unwrap_or_else(PoisonError::into_inner)
}

/// `full` where the full size is asked for.
fn size<T>(slice: T, full: T) -> T {
    match std::env::var_os("HOMING_FAULTS").is_some_and(|size| size == "full") {
        true => full,
        false => slice,
    }
}

/// Runs a scenario, alone, on a runtime of its own.
fn scenario(run: impl Future<Output = ()>) {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run);
}

/// What the tests of the fleet and of the agents need.
const PROGRAMS: [&str; 6] = ["curl", "etcd", "mcs", "mono", "/usr/lib/mono/4.5/System.Net.Http.dll", "python3"];

fn main() -> std::process::ExitCode {
    support::harness::main(&PROGRAMS)
}
