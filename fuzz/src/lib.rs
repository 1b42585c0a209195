//! What each fuzz target checks: a function of any bytes that panics where the library breaks a promise.
//!
//! The targets in `fuzz_targets` feed these to libFuzzer. `gateway/tests/gateway/corpora.rs` includes this file,
//! replays the corpora on a stable compiler, and shows with wrong oracles that each check can fail. So nothing here
//! needs libFuzzer.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a check says what it found")]

pub mod client;
pub mod config;
pub mod cookie;
mod input;
pub mod policies;
pub mod token;
