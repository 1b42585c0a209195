//! The socket of a client of HTTP/2 as hyper sees it.
//!
//! It notes progress for the loop that watches the connection, and gives back bytes that were read ahead.

use crate::proxy::exchange::client::Client;
use crate::proxy::io::lingering_close::LingeringClose;
use crate::proxy::io::write::poll_write_vectored;
use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct ClientIo<T> {
    stream: T,
    client: Arc<Client>,
    /// Read before hyper was given the socket.
    ahead: Bytes,
    linger: LingeringClose,
}

impl<T> ClientIo<T> {
    pub(crate) fn new(stream: T, client: Arc<Client>, ahead: Bytes) -> Self {
        Self { stream, client, ahead, linger: LingeringClose::default() }
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
        let mut io = hyper_util::rt::TokioIo::new(Noted { stream: &mut this.stream, client: &this.client });
        Pin::new(&mut io).poll_read(cx, buf)
    }
}

/// Tokio's side of the socket, noting what was read.
struct Noted<'a, T> {
    stream: &'a mut T,
    client: &'a Client,
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<'_, T> {
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
            this.linger.poll(cx, &mut this.stream).map(Ok)
        } else {
            Poll::Ready(Ok(()))
        }
    }
}
