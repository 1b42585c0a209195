//! One accepted connection, from its first byte to its close.

use super::bell::Bell;
use super::client::{Activity, Phase};
use super::client_io::ClientIo;
use super::proxy::Proxy;
use super::service::ProxyService;
use super::{Limits, Refusal, Timeouts};
use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

/// How HTTP/2 connections begin (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The least that hyper lets its head buffer be limited to is 8 KiB. Ours leaves room for a target and fields that
/// are over our own limits, so that most of those get their answer from us, with their counter.
const HEAD_BUFFER: usize = 64 * 1024;
/// What a head has besides its target and fields: method, version, line ends.
const HEAD_SLACK: usize = 256;

/// How long a connection that has brought nothing yet is listened to when the server stops.
const FIRST_BYTE: Duration = Duration::from_millis(500);

/// Requests in flight on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// What is known of a connection before its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1, or HTTP/2 by prior knowledge: the first bytes tell.
    Clear,
    /// TLS, and HTTP/1.1 by ALPN or without it.
    TlsHttp1,
    /// TLS, and `h2` by ALPN.
    TlsHttp2,
}

impl Proxy {
    /// Serves one accepted connection until it is closed: HTTP/1.1 with upgrades, or HTTP/2, with every timeout and
    /// limit. Spawn it on a task of its own.
    ///
    /// When `shutdown` completes, the connection takes no further request and ends with those it has. Tunnels live
    /// on as tasks of their own.
    pub async fn serve<T>(&self, stream: T, peer: SocketAddr, protocol: Protocol, shutdown: impl Future<Output = ()>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = self.client(peer, protocol != Protocol::Clear);
        let (timeouts, limits) = (client.shared.timeouts, client.shared.limits);
        let io = ClientIo::new(stream, Arc::clone(&client));
        let service = ProxyService::new(Arc::clone(&client));
        let shutdown = pin!(shutdown);
        let mut watch = Watch::new(&client.activity, timeouts, shutdown);
        let served = match protocol {
            // Boxed, for an HTTP/1 connection should not have room for it.
            Protocol::TlsHttp2 => watch.run(Box::pin(http2_connection(io, service, limits)).as_mut()).await,
            Protocol::Clear | Protocol::TlsHttp1 => {
                let mut connection = http1_connection(io, service, limits);
                let served = watch.run(Pin::new(&mut connection)).await;
                match http2_by_prior_knowledge(connection, protocol, &served) {
                    Some((io, service)) => watch.run(Box::pin(http2_connection(io, service, limits)).as_mut()).await,
                    None => served,
                }
            }
        };
        match served {
            Ok(()) => {}
            Err(End::Hyper(error)) => tracing::debug!(%peer, %error, "connection ended"),
            Err(End::Header) => {
                client.shared.refusals.count(Refusal::RequestTimeout);
                tracing::debug!(%peer, "no request head in time");
            }
            Err(End::Stalled) => tracing::debug!(%peer, "client took nothing for the idle timeout"),
        }
    }
}

type Http1<T> = http1::UpgradeableConnection<ClientIo<T>, ProxyService>;

fn http1_connection<T>(io: ClientIo<T>, service: ProxyService, limits: Limits) -> Http1<T>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http1::Builder::new()
        // The watch does this for the price of nothing, and knows a slow head from an idle connection.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BUFFER.max(limits.header_bytes + limits.uri_bytes + HEAD_SLACK))
        .serve_connection(io, service)
        .with_upgrades()
}

fn http2_connection<T>(
    io: ClientIo<T>,
    service: ProxyService,
    limits: Limits,
) -> http2::Connection<ClientIo<T>, ProxyService, TokioExecutor>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(MAX_STREAMS)
        // HTTP/2 counts 32 bytes for each field where we count four, and refuses without a text or a counter: what it
        // lets through is ours to judge.
        .max_header_list_size(u32::try_from(limits.header_bytes + limits.uri_bytes + 100 * 32).unwrap_or(u32::MAX))
        .serve_connection(io, service)
}

/// What hyper's HTTP/1 parser gave up on may be HTTP/2 by prior knowledge: looking afterwards costs HTTP/1
/// connections nothing.
fn http2_by_prior_knowledge<T>(
    connection: Http1<T>,
    protocol: Protocol,
    served: &Result<(), End>,
) -> Option<(ClientIo<T>, ProxyService)>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if protocol != Protocol::Clear || !matches!(served, Err(End::Hyper(_))) {
        return None;
    }
    let parts = connection.into_parts()?;
    let read: Bytes = parts.read_buf;
    read.starts_with(HTTP2_PREFACE).then(|| (parts.io.rewind(read), parts.service))
}

/// Why a connection ended before it was done.
enum End {
    Hyper(hyper::Error),
    Header,
    Stalled,
}

/// What both kinds of hyper's connections can do.
trait Connection: Future<Output = hyper::Result<()>> {
    /// Whether bytes that come between exchanges are the head of a request. HTTP/2 has frames of its own to send.
    const HEADS: bool;

    /// What tells an idle connection from a busy one. HTTP/2's pings do not make a connection busy.
    fn progress(activity: &Activity) -> u32 {
        if Self::HEADS { activity.progress() } else { activity.payload() }
    }

    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection for Http1<T> {
    const HEADS: bool = true;

    fn graceful_shutdown(self: Pin<&mut Self>) {
        Http1::graceful_shutdown(self);
    }
}

impl<T> Connection for http2::Connection<ClientIo<T>, ProxyService, TokioExecutor>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    const HEADS: bool = false;

    fn graceful_shutdown(self: Pin<&mut Self>) {
        http2::Connection::graceful_shutdown(self);
    }
}

/// Drives a connection, and ends it when it is idle or slow for too long, or told to stop.
///
/// One timer serves all of a connection's life and is moved only when it fires, so that requests cost no timer
/// operations. An idle connection is therefore closed after between one and two idle timeouts.
struct Watch<'a, F> {
    activity: &'a Activity,
    timeouts: Timeouts,
    shutdown: Pin<&'a mut F>,
    is_shut_down: bool,
}

impl<'a, F: Future<Output = ()>> Watch<'a, F> {
    fn new(activity: &'a Activity, timeouts: Timeouts, shutdown: Pin<&'a mut F>) -> Self {
        Self { activity, timeouts, shutdown, is_shut_down: false }
    }

    async fn run<C: Connection>(&mut self, mut connection: Pin<&mut C>) -> Result<(), End> {
        let mut alarm = Alarm {
            // The first head has to come like any other.
            sleep: pin!(tokio::time::sleep(self.timeouts.header)),
            for_head: false,
            asked: false,
            progress: C::progress(self.activity),
        };
        if self.is_shut_down {
            connection.as_mut().graceful_shutdown();
        }
        // Told to stop before its first byte, which may be in the socket already.
        let mut hears_first = false;
        let bell = Bell::new();
        let ringer = Waker::from(Arc::clone(&bell));
        poll_fn(|cx| {
            let mut side = Context::from_waker(&ringer);
            let rung = bell.answer(cx);
            if rung && !self.is_shut_down && self.shutdown.as_mut().poll(&mut side).is_ready() {
                self.is_shut_down = true;
                if self.activity.progress() > 0 {
                    connection.as_mut().graceful_shutdown();
                } else {
                    hears_first = true;
                    alarm.set(FIRST_BYTE, C::progress(self.activity));
                }
            }
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready(result.map_err(End::Hyper));
                }
                if hears_first && self.activity.progress() > 0 {
                    hears_first = false;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                let phase = match self.activity.phase() {
                    Phase::Head if !C::HEADS => Phase::Idle,
                    phase => phase,
                };
                match alarm.poll(rung, &mut side, phase, C::progress(self.activity), self.timeouts) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                    Poll::Ready(Ok(())) => connection.as_mut().graceful_shutdown(),
                }
            }
        })
        .await
    }
}

struct Alarm<'a> {
    sleep: Pin<&'a mut Sleep>,
    /// It stands for a head that has begun, and not for idleness.
    for_head: bool,
    /// The connection was asked to end, for want of anything to do.
    asked: bool,
    /// How far the connection was when it was set.
    progress: u32,
}

impl Alarm<'_> {
    /// Ready when the connection has been idle for too long, or with an error when its client is too slow. `rung`
    /// says that the sleep may have fired.
    fn poll(
        &mut self,
        rung: bool,
        cx: &mut Context<'_>,
        phase: Phase,
        progress: u32,
        timeouts: Timeouts,
    ) -> Poll<Result<(), End>> {
        let begun = phase == Phase::Head && !self.for_head;
        self.for_head = phase == Phase::Head;
        if begun {
            self.set(timeouts.header, progress);
        } else if !rung {
            return Poll::Pending;
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            let stands_still = progress == self.progress;
            let was_asked = std::mem::take(&mut self.asked) && stands_still;
            self.set(timeouts.idle, progress);
            match phase {
                Phase::Head => return Poll::Ready(Err(End::Header)),
                // It cannot even end: its last bytes find no taker.
                Phase::Idle if was_asked => return Poll::Ready(Err(End::Stalled)),
                Phase::Idle if stands_still => {
                    self.asked = true;
                    return Poll::Ready(Ok(()));
                }
                Phase::Streaming if stands_still => return Poll::Ready(Err(End::Stalled)),
                Phase::Idle | Phase::Streaming | Phase::Waiting => {}
            }
        }
        Poll::Pending
    }

    fn set(&mut self, after: Duration, progress: u32) {
        self.progress = progress;
        let now = Instant::now();
        self.sleep.as_mut().reset(now.checked_add(after).unwrap_or(now + Duration::from_secs(86400)));
    }
}
