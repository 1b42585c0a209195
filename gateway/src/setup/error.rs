//! Why a configuration could not be set up.

use super::token_file::TokenFileError;
use crate::listen::tls::TlsError;
use crate::roster::state_file::StateFileError;
use homing::BuildError;
use homing::affinity::{KeyError, LifetimeError};
use homing::config::keyfile::KeyFileError;
use homing::http::CookieError;

/// Why a configuration could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The keys in it.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The lifetimes of sessions.
    #[error("[affinity]: {0}")]
    Lifetimes(#[from] LifetimeError),
    /// The upstreams or the policy.
    #[error(transparent)]
    Balancer(#[from] BuildError),
    /// The cookie.
    #[error("[affinity]: {0}")]
    Cookie(#[from] CookieError),
    /// The administration's token.
    #[error("[admin]: {0}")]
    Admin(#[from] TokenFileError),
    /// The certificate or its key.
    #[error("[tls]: {0}")]
    Tls(#[from] TlsError),
    /// The state file.
    #[error(transparent)]
    State(#[from] StateFileError),
}
