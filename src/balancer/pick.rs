//! The result of a pick: a lease with its reason, or why the request is not served.

use crate::affinity::Token;
use crate::cluster::{Decision, Lease, PinLoss, Upstream};
use crate::rng::EntropyError;
use crate::time::Timestamp;
use std::sync::Arc;

/// Where a request goes.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pick {
    /// The request's place on the upstream. Keep it as long as the response body or the tunnel lives.
    pub lease: Lease,
    /// Why it goes there.
    pub decision: Decision,
    /// The token to send to the client; `None` where the one it carries stays valid.
    pub token: Option<Token>,
    /// The session id: see [`Upstream::drain_deadline`]. Without affinity that of this request alone.
    pub session_id: u64,
}

impl Pick {
    /// The upstream that was picked.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        self.lease.upstream()
    }
}

/// Why a request got no upstream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// No upstream accepts sessions, or the cluster is empty.
    #[error("no upstream is available")]
    Unavailable,
    /// Upstreams accept, but all are at their limit of requests in flight; or the session's own upstream is, and
    /// [sessions wait](crate::affinity::OnFull::Wait) for it. Pick again when a
    /// [waiter](crate::Balancer::waiter) says that a place may be free.
    #[error("no upstream that can take it has room")]
    Full,
    /// The session's own upstream cannot take it, and sessions are not to be moved.
    #[error("the session's upstream is unavailable ({0})")]
    Rejected(PinLoss),
    /// The session has to wait; pick again at `at`. A host that cannot wait sets
    /// [`Request::no_wait`](crate::Request::no_wait).
    #[error("{reason}")]
    Later {
        /// When to pick again. Sooner does no harm.
        at: Timestamp,
        /// What the session waits for.
        reason: Wait,
    },
    /// The entropy source gave no session id.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// What a displaced session waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Wait {
    /// Its upstream is down and may come back: see
    /// [`Failover::return_timeout`](crate::health::Failover::return_timeout). It may be back sooner; drop it from
    /// [`Request::tried`](crate::Request::tried) while waiting for it.
    #[error("the session's upstream is down and may come back")]
    UpstreamReturn,
    /// Many sessions are displaced at once, and the failover target admits a limited number a second: see
    /// [`Failover::rate`](crate::health::Failover::rate).
    #[error("the failover target admits a limited number of displaced sessions a second")]
    Admission,
}
