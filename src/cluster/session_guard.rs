//! The guard that keeps a session live while a tunnel is open.

use super::Upstream;
use std::sync::Arc;

/// Keeps a session live on its upstream until it is dropped: see [`Upstream::guard_session`].
#[derive(Debug)]
#[must_use = "the session is guarded for as long as this lives"]
pub struct SessionGuard {
    upstream: Arc<Upstream>,
    session_id: u64,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.upstream.guarded().remove(self.session_id);
    }
}

impl Upstream {
    /// Guards the session of this [id](crate::Pick::session_id), which is pinned here and may stay without making a
    /// request, because it has a WebSocket open, say. Until the guard is dropped, the session counts as
    /// [live](Self::live_sessions) with each [`Balancer::tick`](crate::Balancer::tick). Until then and for a window or
    /// two more, in which its client may reconnect, [rebalancing](crate::affinity::Rebalance) by this proxy leaves it
    /// on this upstream. A session may have several guards. Takes a lock of this upstream.
    ///
    /// Idle time in the token is not affected: a tunnel of half an hour counts as half an hour without a request.
    pub fn guard_session(self: &Arc<Self>, session_id: u64) -> SessionGuard {
        self.guarded().add(session_id);
        SessionGuard { upstream: Arc::clone(self), session_id }
    }
}
