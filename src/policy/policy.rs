//! The contract of a placement policy.

use crate::cluster::{Cluster, Session};
use std::fmt;
use std::sync::Arc;

/// Places a session that no token pins.
///
/// A policy is built for one [`Cluster`], which may be empty, and asked about that cluster alone; the next membership
/// change builds the next policy. `place` runs on every thread at once, so it takes no lock and allocates nothing; what it
/// remembers (a cursor, say) it keeps in atomics.
pub trait Policy: Send + Sync + fmt::Debug {
    /// Index of an upstream of `cluster` that [accepts](Cluster::accepts) the session, or `None` where none does.
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize>;

    /// What the next [`place`](Self::place) would return, changing nothing. The same unless a policy remembers what it
    /// placed.
    fn peek(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.place(cluster, session)
    }

    /// Whether it places by the session's key, or by the address that stands in for it: then one key always goes to one
    /// upstream while nothing changes.
    fn is_keyed(&self) -> bool {
        false
    }

    /// The same policy for the next `cluster`, made from this one where that is cheaper than to build it. It places
    /// as one that was built does. `None`, unless said otherwise: then it is built.
    fn rebuilt(&self, cluster: &Cluster) -> Option<Box<dyn Policy>> {
        let _ = cluster;
        None
    }
}

/// Builds a policy for a cluster; called at each membership change, off the path of picks.
pub type Factory = Arc<dyn Fn(&Cluster) -> Box<dyn Policy> + Send + Sync>;
