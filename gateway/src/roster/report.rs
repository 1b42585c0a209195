//! The figures that an instance reports about itself.

use super::error::RosterError;
use serde::{Deserialize, Serialize};

/// The figures of an instance. Those that are `None` it does not report.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceReport {
    /// Sessions in its memory.
    pub sessions: Option<u64>,
    /// Memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// Its threads.
    pub threads: Option<u64>,
    /// Processor cores in use, 0.25 being a quarter of one; finite and not negative.
    pub cpu: Option<f64>,
}

impl InstanceReport {
    /// Checks the figures.
    ///
    /// # Errors
    /// [`RosterError::Report`].
    pub fn check(&self) -> Result<(), RosterError> {
        match self.cpu {
            Some(cpu) if !(cpu.is_finite() && cpu >= 0.0) => Err(RosterError::Report),
            _ => Ok(()),
        }
    }
}
