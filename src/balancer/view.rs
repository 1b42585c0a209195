//! One moment of a balancer, for hosts that ask it several things about one request.

use super::{Balancer, Snapshot};
use arc_swap::Guard;
use std::sync::Arc;

/// The snapshot in force, and the balancer that it is of. For a short look, as [`ClusterRef`](super::ClusterRef) is.
pub(crate) struct View<'b> {
    pub(super) balancer: &'b Balancer,
    pub(super) snapshot: Guard<Arc<Snapshot>>,
}

impl Balancer {
    pub(crate) fn view(&self) -> View<'_> {
        View { balancer: self, snapshot: self.snapshot.load() }
    }
}
