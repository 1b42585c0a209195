//! Randomness: a source that the host chooses.
//!
//! Session ids come from the operating system ([`OsEntropy`]): a generator in user space that was seeded before a
//! `fork` repeats itself in every child, and two sessions would share a session id. [`SeededEntropy`] is a reproducible
//! source for tests and simulations.

use crate::hash::{GOLDEN, mix64};
use rand::TryRng;
use rand::rngs::SysRng;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The source of randomness failed.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness: {0}; check that /dev/urandom or getrandom(2) is reachable")]
pub struct EntropyError(pub Box<dyn std::error::Error + Send + Sync>);

/// A source of random numbers, shared by all threads that pick.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// 64 uniformly random bits.
    ///
    /// # Errors
    /// [`EntropyError`] if the source fails.
    fn next(&self) -> Result<u64, EntropyError>;
}

/// The operating system's generator: one system call (or vDSO call) per number, safe across `fork`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn next(&self) -> Result<u64, EntropyError> {
        SysRng.try_next_u64().map_err(|error| EntropyError(error.to_string().into()))
    }
}

/// SplitMix64 over an atomic counter: the same seed gives the same sequence. Its output is predictable: do not use it
/// for secrets or for session ids in production.
#[derive(Debug)]
#[repr(align(128))] // its own cache line: every unbound pick of every thread adds to it
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// A sequence that `seed` determines.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number; never fails, one atomic addition.
    pub fn draw(&self) -> u64 {
        mix64(self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN))
    }
}

impl Entropy for SeededEntropy {
    fn next(&self) -> Result<u64, EntropyError> {
        Ok(self.draw())
    }
}
