//! What is being placed.

use super::UpstreamId;
use crate::time::Timestamp;
use std::net::IpAddr;

/// A session (or a request without affinity) on its way to an upstream: all that a policy may look at.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// Uniformly random and constant for the session's life. Policies that need randomness take it from here, so
    /// that a placement is a pure function of the session and the cluster.
    pub session_id: u64,
    /// When the request came.
    pub now: Timestamp,
    /// The client's address, where the host knows it.
    pub client: Option<IpAddr>,
    /// What hash policies hash, where the host has such a key.
    pub key: Option<&'a [u8]>,
    /// Upstreams that already failed this request.
    pub tried: &'a [UpstreamId],
    /// Which of those in slow start are open to it. Policies leave it to [`Cluster::accepts`](super::Cluster::accepts).
    pub slow_start: SlowStartAccess,
}

/// Which of the upstreams in slow start are open to a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SlowStartAccess {
    /// All.
    #[default]
    All,
    /// Those whose turn it is: this is the number of the placement.
    Turn(u64),
    /// Those that have been given this key: this is its hash.
    Key(u64),
}
