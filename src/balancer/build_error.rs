//! Why a balancer's configuration was refused.

use crate::cluster::ClusterError;
use crate::health::HealthSettingsError;
use crate::policy::{ParamError, UnknownPolicy};
use crate::rng::EntropyError;

/// Why a balancer could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The upstreams are no cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The policy's name is unknown.
    #[error(transparent)]
    Policy(#[from] UnknownPolicy),
    /// The policy refuses its parameters.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A health setting is out of its range.
    #[error(transparent)]
    Health(#[from] HealthSettingsError),
    /// The entropy source failed.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}
