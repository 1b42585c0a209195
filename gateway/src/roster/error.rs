//! Why a roster refuses.

use super::{MAX_TTL, MIN_TTL};
use homing::balancer::UnknownUpstream;
use homing::cluster::{ApplyError, ClusterError, PlanError};
use std::error::Error;

/// Why a change was not made. Nothing has changed, unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The next cluster would be none, or what is to be removed is not there.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Another change came between.
    #[error(transparent)]
    Stale(#[from] ApplyError),
    /// There is no upstream of that name, nor a registration.
    #[error(transparent)]
    Unknown(#[from] UnknownUpstream),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A registration for too short or too long a time.
    #[error("a registration lasts from {} second to {} hours after it was heard of last: send its ttl so", MIN_TTL.as_secs(), MAX_TTL.as_secs() / 3600)]
    Ttl,
    /// An operator has removed the upstream that registers itself or reports. The registration counts as heard of all the
    /// same: the removal holds for as long as the instance is there.
    #[error("an operator has removed {name:?}: it comes back when an operator puts it there, or once it was gone")]
    Removed {
        /// Its name.
        name: String,
    },
    /// A report that makes no sense.
    #[error("cpu is how many processor cores are in use: send a number that is finite and not negative")]
    Report,
}

impl From<ClusterError> for RosterError {
    fn from(error: ClusterError) -> Self {
        Self::Plan(error.into())
    }
}

/// What is to be kept could not be.
#[derive(Debug, thiserror::Error)]
#[error("the change cannot be kept, so it was not made: {0}")]
pub struct StoreError(#[source] Box<dyn Error + Send + Sync>);

impl StoreError {
    /// With its reason, which should say what to do.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}
