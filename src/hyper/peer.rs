//! What the server knows of the client's connection: an extension of requests.

use crate::http::{TrustedProxies, header_map};
use http::HeaderMap;
use std::net::IpAddr;

/// The client's end of the connection that a request came by. A server, or a layer around [`Sticky`](super::Sticky),
/// puts it into the extensions of each request:
///
/// ```
/// use homing::hyper::Peer;
///
/// # let peer: std::net::SocketAddr = "203.0.113.9:4711".parse()?;
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Peer::new(peer.ip()).https(true));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// With axum this is one layer, behind `into_make_service_with_connect_info::<SocketAddr>()`:
///
/// ```
/// use axum::Router;
/// use axum::extract::{ConnectInfo, Request};
/// use axum::middleware::map_request;
/// use homing::hyper::Peer;
/// use std::net::SocketAddr;
///
/// # fn example(router: Router) -> Router {
/// router.layer(map_request(async |ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request| {
///     request.extensions_mut().insert(Peer::new(peer.ip()));
///     request
/// }))
/// # }
/// ```
///
/// Without it a request has no client address: policies that hash the address place it as if it had none, and the
/// cookie is `Secure` only where its [`CookieSpec`](crate::http::CookieSpec) says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// The address at the other end: the client's, or that of a proxy in front.
    pub address: IpAddr,
    /// Whether the request arrived over TLS.
    pub https: bool,
}

impl Peer {
    /// A peer without TLS.
    #[must_use]
    pub const fn new(address: IpAddr) -> Self {
        Self { address, https: false }
    }

    /// Whether the request arrived over TLS. Default: no.
    #[must_use]
    pub const fn https(mut self, https: bool) -> Self {
        self.https = https;
        self
    }

    /// The client's address: the peer's, or the one that trusted proxies name.
    pub(super) fn client(&self, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
        header_map::client_addr(headers, self.address, trusted)
    }

    /// Whether the client uses HTTPS, by its connection or by the word of a trusted proxy.
    pub(super) fn is_https(&self, headers: &HeaderMap, trusted: &TrustedProxies) -> bool {
        self.https || (trusted.contains(self.address) && header_map::says_https(headers))
    }
}
