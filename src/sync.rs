//! The atomics and the mutex of code that loom model-checks: the usual ones, or loom's under `--cfg homing_loom`.

#[cfg(homing_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
#[cfg(not(homing_loom))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(homing_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// loom's mutex with the interface of parking_lot's, which does not poison.
#[cfg(homing_loom)]
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(homing_loom)]
impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Checks all interleavings with up to three preemptions: for models for which all interleavings would take hours.
#[cfg(all(test, homing_loom))]
pub(crate) fn model(test: impl Fn() + Sync + Send + 'static) {
    model_within(3, test);
}

/// Checks all interleavings with so many preemptions.
#[cfg(all(test, homing_loom))]
pub(crate) fn model_within(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(test);
}
