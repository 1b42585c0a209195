//! The client's socket as hyper sees it.
//!
//! It notes progress for the loop that watches the connection, gives back bytes that were read ahead, and puts a
//! text into the bare answers that hyper gives on its own to what it cannot parse.

use super::Refusal;
use super::client::{Client, Phase};
use super::coalesce::poll_write_vectored;
use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

pub(super) struct ClientIo<T> {
    stream: T,
    client: Arc<Client>,
    /// Read before hyper was given the socket.
    ahead: Bytes,
    /// What goes out in place of hyper's bare refusal, and how long that was.
    refusal: Option<(Bytes, usize)>,
    /// All of the last response has gone, so what is written now begins one.
    between: bool,
    /// Runs while a client is heard out.
    linger: Option<Pin<Box<Sleep>>>,
}

/// How long a client is heard out that was answered early.
const LINGER: Duration = Duration::from_secs(2);

impl<T> ClientIo<T> {
    pub(super) fn new(stream: T, client: Arc<Client>) -> Self {
        Self { stream, client, ahead: Bytes::new(), refusal: None, between: true, linger: None }
    }

    /// The same socket, with bytes that are to be read again first.
    pub(super) fn rewind(mut self, ahead: Bytes) -> Self {
        self.ahead = ahead;
        self
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

impl<T: AsyncWrite + Unpin> ClientIo<T> {
    /// Writes `refusal` to its end before it reports hyper's own as written.
    fn poll_refusal(&mut self, cx: &mut Context<'_>, mut text: Bytes, bare: usize) -> Poll<io::Result<usize>> {
        while text.has_remaining() {
            match Pin::new(&mut self.stream).poll_write(cx, &text)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => text.advance(written),
                Poll::Pending => {
                    self.refusal = Some((text, bare));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(bare))
    }

    fn poll_plain(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.client.activity.note_write(bytes);
        }
        self.between = false;
        written
    }

    /// Whether hyper writes on its own account: no request is being answered, and no tunnel is open.
    fn is_between(&self) -> bool {
        let activity = &self.client.activity;
        matches!(activity.phase(), Phase::Idle | Phase::Head) && !activity.is_upgraded()
    }
}

impl<T: AsyncRead + Unpin> ClientIo<T> {
    /// Reads what a client still sends of a request that was answered early, for a moment: closing a socket with unread bytes resets it, and the
    /// client might never see the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Write for ClientIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some((text, bare)) = self.refusal.take() {
            return self.poll_refusal(cx, text, bare);
        }
        if self.between
            && self.is_between()
            && let Some(refusal) = bare_refusal(buf)
        {
            self.client.shared.refusals.count(refusal);
            self.client.activity.note_unread();
            return self.poll_refusal(cx, with_text(buf, refusal), buf.len());
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_plain(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [] => self.poll_write(cx, &[]),
            [buf] => self.poll_write(cx, buf),
            _ => {
                let written = poll_write_vectored(&mut self.stream, cx, bufs);
                self.poll_plain(written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // hyper flushes a response before it parses the next head, and so before it refuses one.
        self.between = self.is_between();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        if self.client.activity.has_unread() { self.poll_linger(cx).map(Ok) } else { Poll::Ready(Ok(())) }
    }
}

/// hyper's own answer to a head it cannot parse: a client error without a body that closes the connection. Answers
/// that passed through the proxy differ at least by their `Via`, those of its own by their content.
fn bare_refusal(buf: &[u8]) -> Option<Refusal> {
    let refusal = match buf.strip_prefix(b"HTTP/1.1 ")?.first_chunk::<3>()? {
        b"400" => Refusal::Malformed,
        b"414" => Refusal::UriTooLong,
        b"431" => Refusal::HeadersTooLarge,
        _ => return None,
    };
    let head = buf.strip_suffix(b"\r\n\r\n")?;
    let mut fields = head.split(|byte| *byte == b'\n').skip(1).map(<[u8]>::trim_ascii);
    let known = |line: &[u8]| {
        [b"connection: close".as_slice(), b"content-length: 0"].contains(&line) || line.starts_with(b"date: ")
    };
    fields.all(known).then_some(refusal)
}

fn with_text(bare: &[u8], refusal: Refusal) -> Bytes {
    let text = refusal.text();
    let status_line = bare.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let fields = format!(
        "\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{text}",
        text.len(),
    );
    [status_line, fields.as_bytes()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hypers_own_refusals_are_recognised() {
        let bare = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        assert_eq!(bare_refusal(bare), Some(Refusal::Malformed));
        let long = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(bare_refusal(long), Some(Refusal::HeadersTooLarge));
        for other in [
            b"HTTP/1.1 400 Bad Request\r\nvia: 1.1 homing\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".as_slice(),
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 3\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\nabc",
            b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"",
        ] {
            assert_eq!(bare_refusal(other), None);
        }
    }

    #[test]
    fn the_text_replaces_the_bare_answer() {
        let text = with_text(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Refusal::Malformed);
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain"), "{text}");
        assert!(text.ends_with("content-length: 31\r\n\r\nThe request is not valid HTTP.\n"), "{text}");
    }
}
