//! Why a call failed: its number for programs, its words for people.

use crate::status::*;
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
    #[error("{name} is no {kind}: it was freed, is of another type, or never was")]
    Handle { name: &'static str, kind: &'static str },
    #[error(
        "the size of {name} is {size}, this library knows {known}: set it to sizeof, and use the library's own header"
    )]
    Size { name: &'static str, size: usize, known: usize },
    #[error("{name} is {len} long, at most {max} are taken")]
    Length { name: &'static str, len: usize, max: usize },
    #[error("{name} is not aligned")]
    Alignment { name: &'static str },
    #[error("the buffer for {name} takes {capacity} bytes, {needed} are needed")]
    Buffer { name: &'static str, capacity: usize, needed: usize },
    #[error("{name}: {message}")]
    Value { name: &'static str, message: String },
    #[error("{0}")]
    Keys(String),
    #[error("{0}")]
    Config(String),
    #[error("there is no upstream {0}")]
    Unknown(String),
    #[error("the request speaks of generation {asked}, the cluster is at {current}: look its upstreams up again")]
    Generation { asked: u64, current: u64 },
    #[error(transparent)]
    Stale(#[from] ApplyError),
    #[error(transparent)]
    Pick(#[from] PickError),
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    #[error("there are {0} handles already: free some")]
    Limit(usize),
}

impl Failure {
    pub(crate) fn value(name: &'static str, message: impl Into<String>) -> Self {
        Self::Value { name, message: message.into() }
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
            // Who cannot wait is never told to; who can is answered before it comes to this.
            Self::Pick(PickError::Later { .. }) => HOMING_ERR_UNAVAILABLE,
            Self::Entropy(_) | Self::Pick(PickError::Entropy(_)) => HOMING_ERR_SYSTEM,
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
            PlanError::Cluster(error) => Self::Config(error.to_string()),
        }
    }
}

impl From<UnknownUpstream> for Failure {
    fn from(error: UnknownUpstream) -> Self {
        Self::Unknown(format!("{:?}", error.name))
    }
}

/// What is wrong with a configuration.
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
