//! A lease: one request or tunnel that is counted in flight.

use super::Upstream;
use std::sync::Arc;

/// One request or tunnel that is counted in flight on an upstream, from the pick until the lease is dropped.
///
/// It holds the upstream and never a snapshot: a lease that lives for hours (a WebSocket) keeps no old cluster alive.
/// It may be sent to another thread and dropped there. Dropping costs two atomic subtractions, and under a policy that
/// uses the load index (`least_conn`) two more atomic operations. Wherever it is dropped, it wakes a
/// [waiter](crate::Balancer::waiter) that can take the place, if there is one.
#[derive(Debug)]
pub struct Lease {
    upstream: Arc<Upstream>,
}

impl Lease {
    /// Counts a request on `upstream`; `None` if `limit` are in flight already (0: no limit).
    pub(crate) fn acquire(upstream: &Arc<Upstream>, limit: u32) -> Option<Self> {
        upstream.indexed_load().acquire(limit).then(|| Self { upstream: Arc::clone(upstream) })
    }

    /// The upstream on which it is counted.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.upstream.indexed_load().release() {
            self.upstream.place_freed();
        }
    }
}
