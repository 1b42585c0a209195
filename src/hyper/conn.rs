//! One connection to an upstream, driven by whoever uses it.
//!
//! hyper's client connection is a future that is usually spawned, so each request crosses into another task and
//! back: two more wake-ups. Here the connection travels with its exchange instead. The future that waits for the
//! response polls it, then the response body does, and between exchanges nobody has to: the pool only wants to
//! know, when it hands a connection out, whether it is still open.

use super::body::{RequestBody, UploadProgress};
use super::coalesce::poll_write_vectored;
use super::timer::Timer;
use crate::cluster::Upstream;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Why a connection could not be made.
#[derive(Debug)]
pub(super) enum ConnectError {
    TimedOut,
    Failed(io::Error),
}

/// Why an exchange brought no response.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// Nothing of it was sent: here is the request again.
    Unsent(Box<Request<RequestBody>>),
    /// It was, at least in part, and then the connection broke off.
    Broken {
        error: hyper::Error,
        /// Whether a byte of a response came.
        answered: bool,
    },
    /// Nothing came in time.
    TimedOut {
        /// It was the client's turn: its request is not complete.
        client: bool,
    },
}

/// An open connection to an upstream.
pub(super) struct Conn {
    sender: SendRequest<RequestBody>,
    connection: Option<Connection<TokioIo<Upstreamed>, RequestBody>>,
    /// `connection` has ended and must not be polled again; only its parts are of use, after an upgrade.
    ended: bool,
    news: Arc<News>,
    timer: Timer,
    upstream: Arc<Upstream>,
    reused: bool,
}

impl Conn {
    /// Connects to the upstream's address, `host:port` or a literal.
    pub(super) async fn connect(upstream: Arc<Upstream>, within: Duration) -> Result<Self, ConnectError> {
        let stream = match tokio::time::timeout(within, TcpStream::connect(upstream.address())).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(ConnectError::Failed(error)),
            Err(_) => return Err(ConnectError::TimedOut),
        };
        // A proxy writes whole messages; waiting for more of them only adds delay.
        stream.set_nodelay(true).map_err(ConnectError::Failed)?;
        let news = Arc::new(News::default());
        let io = TokioIo::new(Upstreamed { stream, news: Arc::clone(&news) });
        let (sender, connection) =
            Builder::new().handshake(io).await.map_err(|error| ConnectError::Failed(io::Error::other(error)))?;
        let timer = Timer::new(within);
        Ok(Self { sender, connection: Some(connection), ended: false, news, timer, upstream, reused: false })
    }

    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Whether it has served an exchange before: then the upstream may just have closed it.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends a request and waits for the head of its response, up to `within` from the last byte that the client
    /// had to send.
    pub(super) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        upload: Option<&UploadProgress>,
        within: Duration,
    ) -> Result<Response<Incoming>, ExchangeError> {
        self.news.answered.store(false, Ordering::Relaxed);
        self.timer.restart(within);
        let mut seen = 0;
        let mut response = pin!(self.sender.try_send_request(request));
        let (connection, ended, timer) = (&mut self.connection, &mut self.ended, &mut self.timer);
        std::future::poll_fn(|cx| {
            advance(connection, ended, cx);
            let mut polled = response.as_mut().poll(cx);
            if polled.is_pending() && *ended {
                // It ended between exchanges, with the request still in its queue; letting go of it gives that back.
                *connection = None;
                polled = response.as_mut().poll(cx);
            }
            if let Poll::Ready(result) = polled {
                return Poll::Ready(result.map_err(|mut error| match error.take_message() {
                    Some(request) => ExchangeError::Unsent(Box::new(request)),
                    None => {
                        let answered = self.news.answered.load(Ordering::Relaxed);
                        ExchangeError::Broken { error: error.into_error(), answered }
                    }
                }));
            }
            if let Some(upload) = upload {
                let now = upload.frames();
                if std::mem::replace(&mut seen, now) != now {
                    timer.restart(within);
                }
            }
            let client = upload.is_some_and(UploadProgress::waits_for_client);
            timer.poll(cx).map(|()| Err(ExchangeError::TimedOut { client }))
        })
        .await
    }

    /// Moves the bytes of the exchange under way.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        advance(&mut self.connection, &mut self.ended, cx);
    }

    pub(super) fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    /// Whether it is open and between exchanges. Sees what the runtime has noticed: a close that is still on its
    /// way shows only at the next use.
    pub(super) fn is_free(&mut self) -> bool {
        if !self.sender.is_ready() {
            self.drive(&mut Context::from_waker(Waker::noop()));
        }
        !self.ended && self.sender.is_ready() && !self.news.deaf.load(Ordering::Relaxed)
    }

    /// Like [`is_free`](Self::is_free), but for one that lay in the pool: looks at the socket's news first.
    pub(super) fn is_still_free(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.reused = true;
        !self.ended && self.sender.is_ready()
    }

    /// After a 101: the bare stream, and what the upstream sent behind its response.
    pub(super) async fn into_stream(mut self) -> io::Result<(TcpStream, Bytes)> {
        let Some(mut connection) = self.connection.take() else { return Err(io::ErrorKind::NotConnected.into()) };
        if !self.ended {
            std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await.map_err(io::Error::other)?;
        }
        let parts = connection.into_parts();
        Ok((parts.io.into_inner().stream, parts.read_buf))
    }
}

/// One poll of the connection, unless it has ended. An error reaches whoever waits for the response or its body.
fn advance(
    connection: &mut Option<Connection<TokioIo<Upstreamed>, RequestBody>>,
    ended: &mut bool,
    cx: &mut Context<'_>,
) {
    match connection {
        Some(connection) if !*ended => *ended = connection.poll_without_shutdown(cx).is_ready(),
        _ => {}
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("upstream", &self.upstream.name())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// What became of an upstream's socket.
#[derive(Debug, Default)]
struct News {
    /// It has said something in this exchange. Until then, an idempotent request may be sent again elsewhere.
    answered: AtomicBool,
    /// It takes no more bytes.
    deaf: AtomicBool,
}

/// An upstream's socket.
struct Upstreamed {
    stream: TcpStream,
    news: Arc<News>,
}

impl Upstreamed {
    /// An upstream may answer and hang up before it has read the whole request: "413 Content Too Large", say. hyper
    /// would take the failed write for the end of the exchange, with the answer unread in the socket. So what can
    /// no longer be written counts as written, and the exchange ends by what can be read.
    fn written(&self, written: Poll<io::Result<usize>>, len: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(_)) => {
                self.news.deaf.store(true, Ordering::Relaxed);
                Poll::Ready(Ok(len))
            }
            written => written,
        }
    }
}

impl AsyncRead for Upstreamed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.news.answered.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Upstreamed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(written, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = poll_write_vectored(&mut self.stream, cx, bufs);
        self.written(written, bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
