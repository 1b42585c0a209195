//! Why a roster refuses a change.

use super::registration::{MAX_TTL, MIN_TTL};
use homing::balancer::UnknownUpstream;
use homing::cluster::{ApplyError, ClusterError, PlanError};
use std::error::Error;

/// Why a change was not made. Nothing has changed, unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The next cluster would be invalid, or the upstream to remove does not exist.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The change would remove the last upstream. A balancer may be empty, and a gateway may begin so; but what empties
    /// one that serves is more likely a mistake.
    #[error("without it the cluster is empty: add another upstream first, or drain this one")]
    LastUpstream,
    /// Another change was applied in between.
    #[error(transparent)]
    Stale(#[from] ApplyError),
    /// There is no upstream of that name, nor a registration.
    #[error(transparent)]
    Unknown(#[from] UnknownUpstream),
    /// It could not be saved.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A TTL out of bounds.
    #[error(
        "the ttl of a registration is from {} second to {} hours: send one in these bounds",
        MIN_TTL.as_secs(),
        MAX_TTL.as_secs() / 3600
    )]
    Ttl,
    /// An operator has removed the upstream that registers or reports. The heartbeat counts all the same: the removal
    /// holds for as long as the instance sends heartbeats.
    #[error(
        "an operator has removed {name:?}: it stays removed until an operator adds it again, or until its \
         heartbeats stop for its ttl and it registers anew"
    )]
    Removed {
        /// Its name.
        name: String,
    },
    /// A report with an impossible figure.
    #[error("cpu is how many processor cores are in use: send a number that is finite and not negative")]
    Report,
}

impl From<ClusterError> for RosterError {
    fn from(error: ClusterError) -> Self {
        Self::Plan(error.into())
    }
}

/// A change could not be saved.
#[derive(Debug, thiserror::Error)]
#[error("the change cannot be saved, so it was not made: {0}")]
pub struct StoreError(#[source] Box<dyn Error + Send + Sync>);

impl StoreError {
    /// An error with this reason, which should say what to do.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}
