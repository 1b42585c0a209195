//! A pick whose lease, when it ends, is offered to the requests that wait.

use super::worker::Worker;
use crate::affinity::Token;
use crate::balancer::Pick;
use crate::cluster::{Decision, Lease, Upstream, UpstreamId};
use std::sync::Arc;

/// The upstream that a request was assigned to, as a [`Pick`] says.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) lease: QueueLease,
    pub(crate) decision: Decision,
    pub(crate) token: Option<Token>,
    pub(crate) session_id: u64,
}

impl Assignment {
    pub(crate) fn new(pick: Pick, worker: &Arc<Worker>) -> Self {
        let Pick { lease, decision, token, session_id } = pick;
        let offer = Offer { upstream: lease.upstream().id(), worker: Arc::clone(worker) };
        Self { lease: QueueLease { lease, _offer: offer }, decision, token, session_id }
    }

    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        self.lease.upstream()
    }
}

/// A lease on an upstream: one request or tunnel in flight. When it ends, the queue is told of the free place.
#[derive(Debug)]
pub(crate) struct QueueLease {
    // Fields are dropped in this order: the place is free before it is offered.
    lease: Lease,
    _offer: Offer,
}

impl QueueLease {
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        self.lease.upstream()
    }
}

#[derive(Debug)]
struct Offer {
    upstream: UpstreamId,
    /// The worker's own, so that counting references to it costs no cache line of another worker.
    worker: Arc<Worker>,
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.worker.queue.freed(self.upstream);
    }
}
