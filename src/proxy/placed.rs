//! A pick whose place is offered to those who wait, when it ends.

use super::proxy::Shared;
use crate::affinity::Token;
use crate::balancer::Pick;
use crate::cluster::{Decision, Lease, Upstream, UpstreamId};
use std::sync::Arc;

/// A [`Pick`] of the adapter.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) lease: Place,
    pub(super) decision: Decision,
    pub(super) token: Option<Token>,
    pub(super) nonce: u64,
}

impl Placed {
    pub(super) fn new(pick: Pick, shared: &Arc<Shared>) -> Self {
        let Pick { lease, decision, token, nonce } = pick;
        let offer = Offer { upstream: lease.upstream().id(), shared: Arc::clone(shared) };
        Self { lease: Place { lease, _offer: offer }, decision, token, nonce }
    }

    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        self.lease.upstream()
    }
}

/// One request or tunnel in flight.
#[derive(Debug)]
pub(super) struct Place {
    // Fields are dropped in this order: the place is free before it is offered.
    lease: Lease,
    _offer: Offer,
}

impl Place {
    pub(super) fn upstream(&self) -> &Arc<Upstream> {
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
