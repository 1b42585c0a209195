//! The checks of the fuzz targets: functions of arbitrary bytes that panic if the library violates its contract.
//!
//! The targets in `fuzz_targets` run them under libFuzzer. `gateway/tests/gateway/corpora.rs` includes this file,
//! replays the corpora on a stable compiler, and shows with wrong oracles that each check can fail. So nothing here
//! needs libFuzzer.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a check reports a finding by a panic")]

pub mod client;
pub mod config;
pub mod cookie;
mod input;
pub mod policies;
pub mod token;
