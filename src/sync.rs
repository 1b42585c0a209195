//! The atomics of the code that loom model-checks: std's, or loom's under `--cfg homing_loom`.

#[cfg(homing_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
#[cfg(not(homing_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Interleavings with up to three switches away from a thread that could go on: for models where all would take hours.
#[cfg(all(test, homing_loom))]
pub(crate) fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}
