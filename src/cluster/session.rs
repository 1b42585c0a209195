//! The input of a placement: the session and which upstreams in slow start it may use.

use super::UpstreamId;
use crate::time::Timestamp;
use std::net::IpAddr;

/// A session (or a request without affinity) to be placed: all that a policy may read of a request.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// Uniformly random and constant for the session's life. Policies take their randomness from it, so that a
    /// placement is a pure function of the session and the cluster.
    pub session_id: u64,
    /// The time of the request.
    pub now: Timestamp,
    /// The client's address, if the host knows it.
    pub client: Option<IpAddr>,
    /// The key that hash policies hash, if the host has one.
    pub key: Option<&'a [u8]>,
    /// Upstreams that already failed this request.
    pub tried: &'a [UpstreamId],
    /// The upstreams in slow start that it may use. Policies leave this to
    /// [`Cluster::accepts`](super::Cluster::accepts).
    pub slow_start: SlowStartAccess,
}

/// The upstreams in slow start that a session may use. An upstream that it may not use counts as one that does not
/// accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SlowStartAccess {
    /// All: no upstream is in slow start, or only such upstreams are left.
    #[default]
    All,
    /// Those whose turn it is at the placement of this number.
    Turn(u64),
    /// Those whose share includes the key of this hash.
    Key(u64),
}
