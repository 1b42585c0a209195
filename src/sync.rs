//! The atomics of the code that loom model-checks: std's, or loom's under `--cfg homing_loom`.

#[cfg(homing_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(homing_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
