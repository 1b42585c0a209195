//! HTTP/2 from clients, by hyper.
//!
//! hyper sees the client's socket through [`ClientIo`], which notes progress for the connection's watchdog and gives
//! back bytes that were read before hyper was given the socket.

use super::service::ProxyService;
use super::watchdog::{ConnectionKind, End, Watchdog};
use crate::proxy::exchange::client::Client;
use crate::proxy::io::lingering_close::LingeringClose;
use crate::proxy::io::write::poll_write_vectored;
use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Requests in flight on one connection.
const MAX_STREAMS: u32 = 256;

/// Serves a connection, of which `read` has been read.
pub(super) async fn serve<T, F>(
    watchdog: &mut Watchdog<'_, F>,
    client: &Arc<Client>,
    stream: T,
    read: Bytes,
) -> Result<(), End>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Duration>,
{
    let limits = client.settings.limits;
    let io = ClientIo::new(stream, Arc::clone(client), read);
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(MAX_STREAMS)
        // hyper counts 32 bytes for each field where we count four, and rejects without a text or a counter: so it
        // gets a limit that leaves the decision to our validation.
        .max_header_list_size(u32::try_from(limits.header_bytes + limits.uri_bytes + 100 * 32).unwrap_or(u32::MAX))
        .serve_connection(io, ProxyService::new(Arc::clone(client)));
    // Boxed: an HTTP/1 connection should not have room for it.
    let mut connection = Box::pin(connection);
    watchdog.run(connection.as_mut(), ConnectionKind::Http2, http2::Connection::graceful_shutdown).await
}

/// A client's socket for hyper.
struct ClientIo<T> {
    stream: T,
    client: Arc<Client>,
    /// Read before hyper was given the socket.
    ahead: Bytes,
    lingering_close: LingeringClose,
}

impl<T> ClientIo<T> {
    fn new(stream: T, client: Arc<Client>, ahead: Bytes) -> Self {
        Self { stream, client, ahead, lingering_close: LingeringClose::default() }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.client.activity.note_write(bytes);
        }
        written
    }
}

impl<T: AsyncRead + Unpin> Read for ClientIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.ahead.has_remaining() {
            let count = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        let mut io = hyper_util::rt::TokioIo::new(NotingReads { stream: &mut this.stream, client: &this.client });
        Pin::new(&mut io).poll_read(cx, buf)
    }
}

/// Notes reads, below hyper's buffer.
struct NotingReads<'a, T> {
    stream: &'a mut T,
    client: &'a Client,
}

impl<T: AsyncRead + Unpin> AsyncRead for NotingReads<'_, T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.client.activity.note_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Write for ClientIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = poll_write_vectored(&mut self.stream, cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        if this.client.activity.has_unread() {
            this.lingering_close.poll(cx, &mut this.stream).map(Ok)
        } else {
            Poll::Ready(Ok(()))
        }
    }
}
