//! The input of a placement: the session and which upstreams in slow start it may use.

use super::UpstreamId;
use crate::time::Timestamp;
use std::net::IpAddr;

/// A session (or a request without affinity) to be placed: all that a policy may read of a request.
///
/// A balancer makes it of each [`Request`](crate::Request); a test of a policy makes it by [`new`](Self::new):
///
/// ```
/// use homing::cluster::Session;
/// use homing::policy::{Policy, RoundRobin};
/// use homing::{Balancer, Timestamp, UpstreamConfig};
///
/// let app = |name| UpstreamConfig::new(name, format!("{name}.internal:8080"));
/// let balancer = Balancer::builder().upstreams([app("app-1"), app("app-2")]).build()?;
/// let (cluster, now) = (balancer.cluster(), Timestamp::from_secs(1_700_000_000));
///
/// let policy = RoundRobin::new(&cluster);
/// assert_eq!(policy.place(&cluster, &Session::new(7, now)), Some(0));
/// let failed = [cluster.members()[1].upstream().id()];
/// assert_eq!(policy.place(&cluster, &Session::new(8, now).tried(&failed)), Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
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

impl<'a> Session<'a> {
    /// A session at `now` of which nothing else is known, and for which no upstream is in slow start.
    ///
    /// A balancer draws `session_id` from its entropy. A test draws it from
    /// [`SeededEntropy`](crate::rng::SeededEntropy), because policies that place by chance expect it to be uniform.
    #[must_use]
    pub const fn new(session_id: u64, now: Timestamp) -> Self {
        Self { session_id, now, client: None, key: None, tried: &[], slow_start: SlowStartAccess::All }
    }

    /// With the client's address. Default: unknown.
    #[must_use]
    pub const fn client(mut self, client: IpAddr) -> Self {
        self.client = Some(client);
        self
    }

    /// With the key that hash policies hash. Default: none, and most of them hash the client's address.
    #[must_use]
    pub const fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// With the upstreams that already failed the request, none of which [accepts](super::Cluster::accepts) it any
    /// more. Default: none.
    #[must_use]
    pub const fn tried(mut self, tried: &'a [UpstreamId]) -> Self {
        self.tried = tried;
        self
    }

    /// With access to these of the upstreams in slow start. Default: [all](SlowStartAccess::All).
    #[must_use]
    pub const fn slow_start(mut self, access: SlowStartAccess) -> Self {
        self.slow_start = access;
        self
    }
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
