//! One client connection, as its exchanges know it: its peer, its settings, and the forwarding headers that tell of it.

use super::activity::Activity;
use super::worker::{ConnectionSettings, Worker};
use crate::http::{CookieName, Hop, header_map};
use crate::proxy::http1::line;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Shared by the connection's server, its requests and its watchdog.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: Arc<Worker>,
    /// Those in force when it was accepted.
    pub(crate) settings: Arc<ConnectionSettings>,
    peer: SocketAddr,
    peer_is_trusted: bool,
    https: bool,
    /// Cached for the last `Host`, which is nearly always the next request's too.
    forwarding_headers: Mutex<Option<CachedHeaders>>,
    pub(crate) activity: Activity,
}

/// The forwarding headers of a client for which no trusted proxy speaks, as lines of a head.
#[derive(Debug)]
struct CachedHeaders {
    host: Option<Box<[u8]>>,
    lines: Box<[u8]>,
}

impl Client {
    pub(crate) fn new(worker: Arc<Worker>, peer: SocketAddr, https: bool) -> Self {
        // A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d; to operators and to ip_hash they are IPv4.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let settings = worker.settings.load_full();
        let peer_is_trusted = settings.trusted_proxies.contains(peer.ip());
        let forwarding_headers = Mutex::default();
        Self { worker, settings, peer, peer_is_trusted, https, forwarding_headers, activity: Activity::default() }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn peer_is_trusted(&self) -> bool {
        self.peer_is_trusted
    }

    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    pub(crate) fn cookie_name(&self) -> Option<&CookieName> {
        self.settings.cookie.as_ref().map(|cookie| cookie.name())
    }

    /// The client's address: the peer's, or the one that trusted proxies name.
    pub(crate) fn address(&self, headers: &HeaderMap) -> IpAddr {
        match self.peer_is_trusted {
            true => header_map::client_addr(headers, self.peer.ip(), &self.settings.trusted_proxies),
            false => self.peer.ip(),
        }
    }

    /// This hop, for `X-Forwarded-For` and `Forwarded`.
    pub(crate) fn hop<'h>(&self, host: Option<&'h HeaderValue>) -> Hop<'h> {
        Hop {
            peer: self.peer.ip(),
            peer_trusted: self.peer_is_trusted,
            https: self.https,
            host: host.map(HeaderValue::as_bytes),
        }
    }

    /// Writes the forwarding headers of a request that brought none, or none that is trusted.
    pub(crate) fn write_forwarding_headers(&self, host: Option<&HeaderValue>, head: &mut Vec<u8>) {
        let mut last = self.forwarding_headers.lock();
        let known = last.as_ref().filter(|known| known.host.as_deref() == host.map(HeaderValue::as_bytes));
        match known {
            Some(known) => head.extend_from_slice(&known.lines),
            None => {
                let lines = self.forwarding_headers(host);
                head.extend_from_slice(&lines);
                let host = host.map(|host| host.as_bytes().into());
                *last = Some(CachedHeaders { host, lines: lines.into() });
            }
        }
    }

    fn forwarding_headers(&self, host: Option<&HeaderValue>) -> Vec<u8> {
        let hop = self.hop(host);
        let mut lines = b"x-forwarded-for: ".to_vec();
        hop.write_x_forwarded_for([], &mut lines);
        lines.extend_from_slice(b"\r\nforwarded: ");
        hop.write_forwarded([], &mut lines);
        lines.extend_from_slice(b"\r\n");
        line(&mut lines, "x-forwarded-proto", self.scheme().as_bytes());
        if let Some(host) = host {
            line(&mut lines, "x-forwarded-host", host.as_bytes());
        }
        lines
    }
}

/// Marks an exchange in its connection's [`Activity`] as waiting, then as streaming, until it is dropped.
#[derive(Debug)]
pub(crate) struct ExchangeMark {
    client: Arc<Client>,
    streaming: bool,
}

impl ExchangeMark {
    pub(crate) fn waiting(client: Arc<Client>) -> Self {
        client.activity.begin_exchange();
        Self { client, streaming: false }
    }

    pub(crate) fn streaming(mut self) -> Self {
        self.client.activity.begin_streaming();
        self.streaming = true;
        self
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Drop for ExchangeMark {
    fn drop(&mut self) {
        self.client.activity.end_exchange(self.streaming);
    }
}
