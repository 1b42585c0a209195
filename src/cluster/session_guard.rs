//! The guard that keeps a session live while a tunnel is open.

use super::Upstream;
use std::sync::Arc;

/// Keeps a session live on its upstream until the guard is dropped. See [`Upstream::guard_session`].
#[derive(Debug)]
#[must_use = "the session is guarded until this is dropped"]
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
    /// Keeps a session that is pinned here live without requests, while it has a WebSocket open, for example. It takes
    /// the session's [id](crate::Pick::session_id).
    ///
    /// Until the guard is dropped, each [`Balancer::tick`](crate::Balancer::tick) counts the session as
    /// [live](Self::live_sessions). Until then and to the end of the next
    /// [window](crate::affinity::AffinityBuilder::live_window), in which its page may open another WebSocket,
    /// [rebalancing](crate::affinity::Rebalance) by this proxy does not move it. A session may have several guards.
    /// Costs a lock of this upstream's guarded sessions.
    pub fn guard_session(self: &Arc<Self>, session_id: u64) -> SessionGuard {
        self.guarded().add(session_id);
        SessionGuard { upstream: Arc::clone(self), session_id }
    }
}
