//! One client connection: who is at its other end, and what it is busy with.

use super::proxy::Shared;
use crate::http::CookieName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Shared by the connection's service, its requests and the loop that watches over it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    peer: SocketAddr,
    peer_is_trusted: bool,
    https: bool,
    pub(super) activity: Activity,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, peer: SocketAddr, https: bool) -> Self {
        // A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d; to operators and to ip_hash they are IPv4.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let peer_is_trusted = shared.trusted_proxies.contains(peer.ip());
        Self { shared, peer, peer_is_trusted, https, activity: Activity::default() }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn peer_is_trusted(&self) -> bool {
        self.peer_is_trusted
    }

    pub(super) fn is_https(&self) -> bool {
        self.https
    }

    pub(super) fn cookie_name(&self) -> Option<&CookieName> {
        self.shared.cookie.as_ref().map(|cookie| cookie.name())
    }

    /// The address of who sent the request: the peer, or whom trusted proxies say they had it from.
    pub(super) fn address(&self, headers: &http::HeaderMap) -> IpAddr {
        match self.peer_is_trusted {
            true => {
                let hops = super::headers::x_forwarded_for(headers);
                self.shared.trusted_proxies.client_addr(self.peer.ip(), hops)
            }
            false => self.peer.ip(),
        }
    }
}

/// What the requests and the socket of a connection note down, so that the loop over it can tell idle from slow
/// without a timer or a clock reading per request.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Bytes have come since the last exchange ended: the head of a request is on its way.
    head: AtomicBool,
    /// Exchanges that wait for their upstream.
    waiting: AtomicU32,
    /// Exchanges whose response is on its way to the client.
    streaming: AtomicU32,
    /// Counts successful reads and writes.
    progress: AtomicU32,
}

/// What a connection is busy with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nothing: kept alive for the next request.
    Idle,
    /// Receiving the head of a request.
    Head,
    /// Waiting for an upstream, which has timeouts of its own.
    Waiting,
    /// Sending responses.
    Streaming,
}

impl Activity {
    pub(super) fn phase(&self) -> Phase {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            Phase::Waiting
        } else if self.streaming.load(Ordering::Relaxed) > 0 {
            Phase::Streaming
        } else if self.head.load(Ordering::Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    pub(super) fn progress(&self) -> u32 {
        self.progress.load(Ordering::Relaxed)
    }

    pub(super) fn note_read(&self) {
        self.head.store(true, Ordering::Relaxed);
        self.note_write();
    }

    pub(super) fn note_write(&self) {
        // A lost count is no matter, a locked addition per write would be.
        self.progress.store(self.progress().wrapping_add(1), Ordering::Relaxed);
    }
}

/// Marks an exchange as waiting, then as streaming, until it is dropped.
#[derive(Debug)]
pub(super) struct ExchangeMark {
    client: Arc<Client>,
    streaming: bool,
}

impl ExchangeMark {
    pub(super) fn waiting(client: Arc<Client>) -> Self {
        client.activity.waiting.fetch_add(1, Ordering::Relaxed);
        client.activity.head.store(false, Ordering::Relaxed);
        Self { client, streaming: false }
    }

    pub(super) fn streaming(mut self) -> Self {
        self.client.activity.streaming.fetch_add(1, Ordering::Relaxed);
        self.client.activity.waiting.fetch_sub(1, Ordering::Relaxed);
        self.streaming = true;
        self
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Drop for ExchangeMark {
    fn drop(&mut self) {
        let activity = &self.client.activity;
        let count = if self.streaming { &activity.streaming } else { &activity.waiting };
        count.fetch_sub(1, Ordering::Relaxed);
        // What was read meanwhile was this exchange's body; a next head shows itself by its own bytes.
        activity.head.store(false, Ordering::Relaxed);
    }
}
