//! What is being placed.

use super::UpstreamId;
use crate::time::Timestamp;
use std::net::IpAddr;

/// A session (or a request without affinity) to be placed: all that a policy may read.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// Uniformly random and constant for the session's life. Policies take their randomness from it, so that a
    /// placement is a pure function of the session and the cluster.
    pub session_id: u64,
    /// The time of the request.
    pub now: Timestamp,
    /// The client's address, where the host knows it.
    pub client: Option<IpAddr>,
    /// The key that hash policies hash, where the host has one.
    pub key: Option<&'a [u8]>,
    /// Upstreams that already failed this request.
    pub tried: &'a [UpstreamId],
    /// The upstreams in slow start that accept it. Policies leave this to
    /// [`Cluster::accepts`](super::Cluster::accepts).
    pub slow_start: SlowStartAccess,
}

/// Which upstreams in slow start accept a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SlowStartAccess {
    /// All.
    #[default]
    All,
    /// Those whose turn is due at this number of the placement.
    Turn(u64),
    /// Those whose share of the keys includes this hash.
    Key(u64),
}
