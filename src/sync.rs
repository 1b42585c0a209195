//! The atomics of code that loom model-checks: those of `std`, or loom's under `--cfg homing_loom`.

#[cfg(homing_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
#[cfg(not(homing_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Checks all interleavings with up to three preemptions: for models for which all interleavings would take hours.
#[cfg(all(test, homing_loom))]
pub(crate) fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}
