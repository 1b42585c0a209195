//! A pick whose place is offered to those who wait, when it ends.

use crate::affinity::Token;
use crate::balancer::Pick;
use crate::cluster::{Decision, Lease, Upstream, UpstreamId};
use crate::proxy::proxy::Shared;
use std::sync::Arc;

/// A [`Pick`] of the adapter.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) lease: Place,
    pub(crate) decision: Decision,
    pub(crate) token: Option<Token>,
    pub(crate) session_id: u64,
}

impl Placed {
    pub(crate) fn new(pick: Pick, shared: &Arc<Shared>) -> Self {
        let Pick { lease, decision, token, session_id } = pick;
        let offer = Offer { upstream: lease.upstream().id(), shared: Arc::clone(shared) };
        Self { lease: Place { lease, _offer: offer }, decision, token, session_id }
    }

    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        self.lease.upstream()
    }
}

/// One request or tunnel in flight.
#[derive(Debug)]
pub(crate) struct Place {
    // Fields are dropped in this order: the place is free before it is offered.
    lease: Lease,
    _offer: Offer,
}

impl Place {
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        self.lease.upstream()
    }
}

#[derive(Debug)]
struct Offer {
    upstream: UpstreamId,
    /// The worker's own, so that counting references to it costs no cache line of another's.
    shared: Arc<Shared>,
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.shared.queue.freed(self.upstream);
    }
}
