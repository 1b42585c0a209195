//! One client connection: who is at its other end, and what it is busy with.

use crate::http::{CookieName, Hop};
use crate::proxy::http1::header_rules::x_forwarded_for;
use crate::proxy::http1::line;
use crate::proxy::proxy::{Settings, Shared};
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Shared by the connection's service, its requests and the loop that watches over it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    /// Those that were in force when it came.
    pub(crate) settings: Arc<Settings>,
    peer: SocketAddr,
    peer_is_trusted: bool,
    https: bool,
    /// The last `Host` and what was written for it: nearly always the next request's too.
    introduction: Mutex<Option<Introduction>>,
    pub(crate) activity: Activity,
}

/// Who a client is that no trusted proxy speaks for, as lines of a head.
#[derive(Debug)]
struct Introduction {
    host: Option<Box<[u8]>>,
    lines: Box<[u8]>,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>, peer: SocketAddr, https: bool) -> Self {
        // A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d; to operators and to ip_hash they are IPv4.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let settings = shared.settings.load_full();
        let peer_is_trusted = settings.trusted_proxies.contains(peer.ip());
        let introduction = Mutex::default();
        Self { shared, settings, peer, peer_is_trusted, https, introduction, activity: Activity::default() }
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

    /// The address of who sent the request: the peer, or whom trusted proxies say they had it from.
    pub(crate) fn address(&self, headers: &HeaderMap) -> IpAddr {
        match self.peer_is_trusted {
            true => self.settings.trusted_proxies.client_addr(self.peer.ip(), x_forwarded_for(headers)),
            false => self.peer.ip(),
        }
    }

    /// This hop of a request's way, for `X-Forwarded-For` and `Forwarded`.
    pub(crate) fn hop<'h>(&self, host: Option<&'h HeaderValue>) -> Hop<'h> {
        Hop {
            peer: self.peer.ip(),
            peer_trusted: self.peer_is_trusted,
            https: self.https,
            host: host.map(HeaderValue::as_bytes),
        }
    }

    /// Writes the forwarding fields of a request that brought none, or none that is believed.
    pub(crate) fn write_introduction(&self, host: Option<&HeaderValue>, head: &mut Vec<u8>) {
        let mut last = self.introduction.lock();
        let known = last.as_ref().filter(|known| known.host.as_deref() == host.map(HeaderValue::as_bytes));
        match known {
            Some(known) => head.extend_from_slice(&known.lines),
            None => {
                let lines = self.introduce(host);
                head.extend_from_slice(&lines);
                let host = host.map(|host| host.as_bytes().into());
                *last = Some(Introduction { host, lines: lines.into() });
            }
        }
    }

    fn introduce(&self, host: Option<&HeaderValue>) -> Vec<u8> {
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

/// What the requests and the socket of a connection note down, so that the loop over it can tell idle from slow
/// without a timer or a clock reading per request.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Bytes have come since the last exchange ended: the head of a request is on its way.
    head: AtomicBool,
    /// Exchanges that wait for their upstream.
    waiting: AtomicU32,
    /// Exchanges whose response is on its way to the client.
    streaming: AtomicU32,
    /// Counts successful reads and writes.
    progress: AtomicU32,
    /// Counts what moves requests and responses on, which control frames of HTTP/2 do not.
    payload: AtomicU32,
    /// A request was not read to its end, and more of it may be on its way.
    unread: AtomicBool,
    /// The connection is to take no further request.
    stopped: AtomicBool,
    /// The head of a request took too long.
    late: AtomicBool,
}

/// Writes up to this size may be HTTP/2's pings and acknowledgements.
const CONTROL_FRAMES: usize = 32;

/// What a connection is busy with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
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
    pub(crate) fn phase(&self) -> Phase {
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

    pub(crate) fn progress(&self) -> u32 {
        self.progress.load(Ordering::Relaxed)
    }

    pub(crate) fn payload(&self) -> u32 {
        self.payload.load(Ordering::Relaxed)
    }

    pub(crate) fn note_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn note_late(&self) {
        self.late.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// Whether a part of a head lies here.
    pub(crate) fn note_head(&self, begun: bool) {
        self.head.store(begun, Ordering::Relaxed);
    }

    pub(crate) fn note_read(&self) {
        self.head.store(true, Ordering::Relaxed);
        bump(&self.progress);
    }

    pub(crate) fn note_write(&self, bytes: usize) {
        bump(&self.progress);
        if bytes > CONTROL_FRAMES {
            bump(&self.payload);
        }
    }

    pub(crate) fn note_frame(&self) {
        bump(&self.payload);
    }
}

fn bump(counter: &AtomicU32) {
    // A lost count is no matter, a locked addition per write would be.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Marks an exchange as waiting, then as streaming, until it is dropped.
#[derive(Debug)]
pub(crate) struct ExchangeMark {
    client: Arc<Client>,
    streaming: bool,
}

impl ExchangeMark {
    pub(crate) fn waiting(client: Arc<Client>) -> Self {
        client.activity.waiting.fetch_add(1, Ordering::Relaxed);
        client.activity.head.store(false, Ordering::Relaxed);
        client.activity.note_frame();
        Self { client, streaming: false }
    }

    pub(crate) fn streaming(mut self) -> Self {
        self.client.activity.streaming.fetch_add(1, Ordering::Relaxed);
        self.client.activity.waiting.fetch_sub(1, Ordering::Relaxed);
        self.streaming = true;
        self
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
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
