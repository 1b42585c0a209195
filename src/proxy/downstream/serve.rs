//! One accepted connection, from its first byte to its close.

use super::http1;
use super::http2::ClientIo;
use super::service::ProxyService;
use crate::proxy::Timeouts;
use crate::proxy::exchange::client::{Activity, Client, Phase};
use crate::proxy::io::latched_waker::LatchedWaker;
use crate::proxy::io::timer::LazyTimer;
use crate::proxy::proxy::Proxy;
use bytes::Bytes;
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

/// How long a connection that has brought nothing yet is listened to when the server stops.
const FIRST_BYTE: Duration = Duration::from_millis(500);

/// How long a client whose request came too slowly is given to hear so.
const FAREWELL: Duration = Duration::from_secs(3);

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
        let shutdown = async {
            shutdown.await;
            Duration::ZERO
        };
        self.serve_until(stream, peer, protocol, shutdown).await;
    }

    /// Likewise. For as long as `ending` says when it completes, an idle connection of HTTP/1 is listened to for one request
    /// more, which ends it in good order: a client that sends one while its connection is closed cannot know what became
    /// of it. HTTP/2 has a frame to say so.
    pub async fn serve_until<T>(
        &self,
        stream: T,
        peer: SocketAddr,
        protocol: Protocol,
        ending: impl Future<Output = Duration>,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = self.client(peer, protocol != Protocol::Clear);
        let ending = pin!(ending);
        let mut watch = Watch::new(&client.activity, client.settings.timeouts, ending);
        let served = match protocol {
            Protocol::TlsHttp2 => http2(&mut watch, &client, stream, Bytes::new()).await,
            Protocol::Clear | Protocol::TlsHttp1 => {
                let may_be_http2 = protocol == Protocol::Clear;
                let mut connection = pin!(http1::serve(stream, Arc::clone(&client), may_be_http2));
                match watch.run(connection.as_mut(), Kind::Http1, |_| client.activity.stop()).await {
                    Ok(Some((stream, read))) => http2(&mut watch, &client, stream, read).await,
                    Ok(None) => Ok(()),
                    Err(End::Header) => {
                        client.activity.note_late();
                        // Whoever takes no answer in this time gets none.
                        let _ = tokio::time::timeout(FAREWELL, connection).await;
                        Err(End::Header)
                    }
                    Err(end) => Err(end),
                }
            }
        };
        match served {
            Ok(()) => {}
            Err(End::Broken(error)) => tracing::debug!(%peer, %error, "connection ended"),
            Err(End::Header) => tracing::debug!(%peer, "no request head in time"),
            Err(End::Stalled) => tracing::debug!(%peer, "client took nothing for the idle timeout"),
        }
    }
}

/// Serves a connection of HTTP/2, of which `read` has been read.
async fn http2<T, F>(watch: &mut Watch<'_, F>, client: &Arc<Client>, stream: T, read: Bytes) -> Result<(), End>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Duration>,
{
    let limits = client.settings.limits;
    let io = ClientIo::new(stream, Arc::clone(client), read);
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(MAX_STREAMS)
        // HTTP/2 counts 32 bytes for each field where we count four, and refuses without a text or a counter: what it
        // lets through is ours to judge.
        .max_header_list_size(u32::try_from(limits.header_bytes + limits.uri_bytes + 100 * 32).unwrap_or(u32::MAX))
        .serve_connection(io, ProxyService::new(Arc::clone(client)));
    // Boxed, for an HTTP/1 connection should not have room for it.
    let mut connection = Box::pin(connection);
    watch.run(connection.as_mut(), Kind::Http2, http2::Connection::graceful_shutdown).await
}

/// Why a connection ended before it was done.
enum End {
    Broken(Box<dyn Error + Send + Sync>),
    Header,
    Stalled,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http1,
    Http2,
}

impl Kind {
    /// What tells an idle connection from a busy one. HTTP/2's pings do not make a connection busy.
    fn progress(self, activity: &Activity) -> u32 {
        match self {
            Self::Http1 => activity.progress(),
            Self::Http2 => activity.payload(),
        }
    }

    /// Bytes that come between exchanges are the head of a request, but HTTP/2 has frames of its own to send.
    fn phase(self, activity: &Activity) -> Phase {
        match activity.phase() {
            Phase::Head if self == Self::Http2 => Phase::Idle,
            phase => phase,
        }
    }
}

/// Drives a connection, and ends it when it is idle or slow for too long, or told to stop.
///
/// One timer serves all of a connection's life and is moved only when it fires, so that requests cost no timer
/// operations. An idle connection is therefore closed after between one and two idle timeouts.
struct Watch<'a, F> {
    activity: &'a Activity,
    timeouts: Timeouts,
    ending: Pin<&'a mut F>,
    /// It was told to.
    is_ending: bool,
}

impl<'a, F: Future<Output = Duration>> Watch<'a, F> {
    fn new(activity: &'a Activity, timeouts: Timeouts, ending: Pin<&'a mut F>) -> Self {
        Self { activity, timeouts, ending, is_ending: false }
    }

    /// Runs the connection to its end. `stop` tells it to take no further request and end with those it has.
    async fn run<C, O, E>(
        &mut self,
        mut connection: Pin<&mut C>,
        kind: Kind,
        stop: impl Fn(Pin<&mut C>),
    ) -> Result<O, End>
    where
        C: Future<Output = Result<O, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let sleep = pin!(tokio::time::sleep(self.timeouts.header));
        let mut alarm = Alarm {
            // The first head has to come like any other.
            timer: LazyTimer::from_sleep(sleep),
            for_head: false,
            asked: false,
            progress: kind.progress(self.activity),
        };
        if self.is_ending {
            stop(connection.as_mut());
        }
        // Told to end while it is idle: the next request's first byte may be in the socket already.
        let mut hears_on = None;
        let latch = LatchedWaker::new();
        let waker = Waker::from(Arc::clone(&latch));
        poll_fn(|cx| {
            let mut side = Context::from_waker(&waker);
            let woken = latch.take(cx);
            if woken
                && !self.is_ending
                && let Poll::Ready(linger) = self.ending.as_mut().poll(&mut side)
            {
                self.is_ending = true;
                let progress = self.activity.progress();
                let is_idle = kind == Kind::Http1 && kind.phase(self.activity) == Phase::Idle;
                let pause = match progress {
                    0 => linger.max(FIRST_BYTE),
                    _ if is_idle => linger,
                    _ => Duration::ZERO,
                };
                if pause.is_zero() {
                    stop(connection.as_mut());
                } else {
                    hears_on = Some(progress);
                    alarm.set(pause, kind.progress(self.activity));
                }
            }
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready(result.map_err(|error| End::Broken(error.into())));
                }
                if hears_on.is_some_and(|progress| self.activity.progress() != progress) {
                    hears_on = None;
                    stop(connection.as_mut());
                    continue;
                }
                let (phase, progress) = (kind.phase(self.activity), kind.progress(self.activity));
                match alarm.poll(woken, &mut side, phase, progress, self.timeouts) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                    Poll::Ready(Ok(())) => stop(connection.as_mut()),
                }
            }
        })
        .await
    }
}

struct Alarm<'a> {
    timer: LazyTimer<&'a mut Sleep>,
    /// It stands for a head that has begun, and not for idleness.
    for_head: bool,
    /// The connection was asked to end, for want of anything to do.
    asked: bool,
    /// How far the connection was when it was set.
    progress: u32,
}

impl Alarm<'_> {
    /// Ready when the connection has been idle for too long, or with an error when its client is too slow. `woken`
    /// says that the timer may have fired.
    fn poll(
        &mut self,
        woken: bool,
        cx: &mut Context<'_>,
        phase: Phase,
        progress: u32,
        timeouts: Timeouts,
    ) -> Poll<Result<(), End>> {
        let begun = phase == Phase::Head && !self.for_head;
        self.for_head = phase == Phase::Head;
        if begun {
            self.set(timeouts.header, progress);
        } else if !woken {
            return Poll::Pending;
        }
        while self.timer.poll(cx).is_ready() {
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
        self.timer.restart(after);
    }
}
