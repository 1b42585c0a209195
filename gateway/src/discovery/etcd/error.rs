//! Why a call to etcd failed.

/// Status codes of gRPC.
const NOT_FOUND: u32 = 5;
pub(super) const UNAVAILABLE: u32 = 14;
pub(super) const UNAUTHENTICATED: u32 = 16;

/// Why a call failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// No member responded, or none that has a leader.
    #[error("etcd is unreachable: {0}")]
    Unreachable(String),
    /// It responded with an error.
    #[error("etcd refuses: {message}")]
    Refused {
        /// The status code of gRPC.
        code: u32,
        /// Its message.
        message: String,
    },
}

impl EtcdError {
    pub(super) fn timeout() -> Self {
        Self::Unreachable("no response in time".to_owned())
    }

    pub(super) fn unexpected(what: &str) -> Self {
        Self::Unreachable(format!("its response is malformed: {what}"))
    }

    /// Whether something it refers to, such as a lease, no longer exists.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: NOT_FOUND, .. })
    }
}
