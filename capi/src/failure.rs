//! Why a call failed: a status for programs, a text for people.

use crate::constants::*;
use homing::affinity::{KeyError, LifetimeError};
use homing::balancer::{BuildError, PickError, UnknownUpstream};
use homing::cluster::{ApplyError, PlanError};
use homing::config::ConfigError;
use homing::config::keyfile::KeyFileError;
use homing::http::{CookieError, CookieNameError};
use homing::rng::EntropyError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0} is NULL")]
    Null(&'static str),
    #[error("{name} is not the handle of a {kind}: it was freed, is of another kind, or was never given out")]
    Handle { name: &'static str, kind: &'static str },
    #[error(
        "the size of {name} is {size}, this library knows {known}: set it to sizeof, and use the library's own header"
    )]
    Size { name: &'static str, size: usize, known: usize },
    #[error("the length of {name} is {len}, the limit is {max}")]
    Length { name: &'static str, len: usize, max: usize },
    #[error("{name} is not aligned")]
    Alignment { name: &'static str },
    #[error("the buffer for {name} has {capacity} bytes, {needed} are needed")]
    Buffer { name: &'static str, capacity: usize, needed: usize },
    #[error("{name}: {message}")]
    Value { name: &'static str, message: String },
    #[error("{0}")]
    Keys(String),
    #[error("{0}")]
    Config(String),
    #[error("there is no upstream {0}")]
    Unknown(String),
    #[error("the request is of generation {asked}, the cluster is at {current}: look its upstreams up again")]
    Generation { asked: u64, current: u64 },
    #[error(transparent)]
    Stale(#[from] ApplyError),
    #[error(transparent)]
    Pick(#[from] PickError),
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    #[error("there are {0} handles of this kind already: free some")]
    Limit(usize),
}

impl Failure {
    pub(crate) fn value(name: &'static str, message: impl Into<String>) -> Self {
        Self::Value { name, message: message.into() }
    }

    /// There is no upstream of this id.
    pub(crate) fn unknown_id(id: u64) -> Self {
        Self::Unknown(format!("of the id {id:016x}"))
    }

    pub(crate) fn status(&self) -> i32 {
        match self {
            Self::Null(_) => HOMING_ERR_NULL,
            Self::Handle { .. } => HOMING_ERR_HANDLE,
            Self::Size { .. } => HOMING_ERR_SIZE,
            Self::Length { .. } => HOMING_ERR_LENGTH,
            Self::Buffer { .. } => HOMING_ERR_BUFFER,
            Self::Alignment { .. } | Self::Value { .. } => HOMING_ERR_VALUE,
            Self::Config(_) => HOMING_ERR_CONFIG,
            Self::Keys(_) => HOMING_ERR_KEYS,
            Self::Unknown(_) => HOMING_ERR_UNKNOWN,
            Self::Generation { .. } | Self::Stale(_) => HOMING_ERR_GENERATION,
            Self::Pick(PickError::Unavailable) => HOMING_ERR_UNAVAILABLE,
            Self::Pick(PickError::Full) => HOMING_ERR_FULL,
            Self::Pick(PickError::Rejected(_)) => HOMING_ERR_REJECTED,
            Self::Entropy(_) | Self::Pick(PickError::Entropy(_)) => HOMING_ERR_SYSTEM,
            // `Later` is not reached: a request that cannot wait gets no such answer, and one that can is answered by
            // `homing_pick`.
            Self::Pick(_) => HOMING_ERR_UNAVAILABLE,
            Self::Limit(_) => HOMING_ERR_LIMIT,
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Entropy(error) => Self::Entropy(error),
            error => Self::Keys(error.to_string()),
        }
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::Keys(error.to_string())
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Unknown { name } => Self::Unknown(format!("{name:?} to remove")),
            error => Self::Config(error.to_string()),
        }
    }
}

impl From<UnknownUpstream> for Failure {
    fn from(error: UnknownUpstream) -> Self {
        Self::Unknown(format!("{:?}", error.name))
    }
}

/// Errors of a configuration.
macro_rules! config {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Config(error.to_string())
            }
        }
    )*};
}

config!(BuildError, ConfigError, CookieError, CookieNameError, LifetimeError);
