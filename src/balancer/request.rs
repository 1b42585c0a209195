//! What a host knows of a request when it asks for an upstream.

use crate::affinity::LegacyCookie;
use crate::cluster::{Session, UpstreamId};
use crate::time::Timestamp;
use std::net::IpAddr;

/// What a host knows of a request when it asks for an upstream.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The time, read once by the host.
    pub now: Timestamp,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The key that hash policies hash.
    pub key: Option<&'a [u8]>,
    /// The tokens that the client sent, in order. The first good one of the first four counts.
    pub tokens: &'a [&'a [u8]],
    /// Cookies that another proxy set: see [`legacy_cookies`](Self::legacy_cookies).
    pub legacy_cookies: &'a [LegacyCookie<'a>],
    /// Upstreams that already failed this request. A session pinned to one of them moves.
    pub tried: &'a [UpstreamId],
    /// Whether the host cannot let the request wait: see [`no_wait`](Self::no_wait).
    pub no_wait: bool,
}

impl<'a> Request<'a> {
    /// A request at `now` of which nothing else is known.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { now, client: None, key: None, tokens: &[], legacy_cookies: &[], tried: &[], no_wait: false }
    }

    /// With the client's address.
    #[must_use]
    pub const fn client(mut self, client: IpAddr) -> Self {
        self.client = Some(client);
        self
    }

    /// With the key that hash policies hash, in place of the client's address.
    #[must_use]
    pub const fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// With the tokens that the client sent.
    #[must_use]
    pub const fn tokens(mut self, tokens: &'a [&'a [u8]]) -> Self {
        self.tokens = tokens;
        self
    }

    /// With the cookies that the proxy in use before this one set. They are read where no token is good, in this order,
    /// which should be that of [`AffinityBuilder::accept`](crate::affinity::AffinityBuilder::accept). The first that
    /// means exactly one upstream counts; of more than 16, those beyond are ignored.
    #[must_use]
    pub const fn legacy_cookies(mut self, cookies: &'a [LegacyCookie<'a>]) -> Self {
        self.legacy_cookies = cookies;
        self
    }

    /// With the upstreams that already failed it.
    #[must_use]
    pub const fn tried(mut self, tried: &'a [UpstreamId]) -> Self {
        self.tried = tried;
        self
    }

    /// To be answered now: a session that would have to [wait](crate::PickError::Later) moves at once, and counts
    /// towards no rate limit. For hosts that cannot pick again later.
    #[must_use]
    pub const fn no_wait(mut self) -> Self {
        self.no_wait = true;
        self
    }

    /// The session of this request, as policies see it.
    #[inline]
    pub(super) fn session(&self, session_id: u64) -> Session<'a> {
        Session { client: self.client, key: self.key, tried: self.tried, ..Session::new(session_id, self.now) }
    }
}
