//! A request or tunnel in flight, as a value.

use super::Upstream;
use std::sync::Arc;

/// One request or tunnel in flight on an upstream, from the pick until it is dropped.
///
/// It holds the upstream, never a snapshot: a lease that lives for hours (a WebSocket) keeps no old cluster alive. It
/// may be dropped on another thread. Dropping it costs two atomic subtractions, and under a policy that uses the load
/// index (`least_conn`) two more atomic operations.
#[derive(Debug)]
pub struct Lease {
    upstream: Arc<Upstream>,
}

impl Lease {
    /// Takes a place on `upstream`; `None` where `limit` (0: no limit) are in flight already.
    pub(crate) fn acquire(upstream: &Arc<Upstream>, limit: u32) -> Option<Self> {
        upstream.indexed_load().acquire(limit).then(|| Self { upstream: Arc::clone(upstream) })
    }

    /// The upstream it counts on.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.indexed_load().release();
    }
}
