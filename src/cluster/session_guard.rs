//! The guard that keeps a session live while a tunnel is open.

use super::Upstream;
use std::sync::Arc;

/// A session that stays where it is while this lives: see [`Upstream::guard_session`].
#[derive(Debug)]
#[must_use = "the session is held for as long as this lives"]
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
    /// Holds the session of this [session id](crate::Pick::session_id), which has its upstream here and may stay without a request: it has
    /// a WebSocket, say. Until what is returned is dropped, it counts as [live](Self::live_sessions) with each
    /// [`Balancer::tick`](crate::Balancer::tick); until then and for a window or two more, in which it may come back,
    /// [rebalancing](crate::affinity::Rebalance) leaves it where it is, as far as this proxy is concerned. May be held several
    /// times. Costs a lock of this upstream's.
    pub fn guard_session(self: &Arc<Self>, session_id: u64) -> SessionGuard {
        self.guarded().add(session_id);
        SessionGuard { upstream: Arc::clone(self), session_id }
    }
}
