//! After a 101: bytes both ways until both sides are done.
//!
//! A WebSocket is idle almost always, so a tunnel holds no buffer while it is: what is read goes through one
//! scratch buffer per thread, and only what the other side does not take at once is kept.

use super::timer::Timer;
use bytes::{Buf, Bytes};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const SCRATCH: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Copies between `client` and `upstream`; `early` is what the upstream sent right behind its 101.
///
/// Each side's end of stream is passed on as a shutdown of the other, and the tunnel ends when both have ended or
/// one fails. A tunnel may be silent for as long as it likes; one that is half closed, for `idle`.
pub(super) async fn tunnel<C, U>(mut client: C, mut upstream: U, early: Bytes, idle: Duration) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Direction::new(Bytes::new());
    let mut down = Direction::new(early);
    let mut half_closed: Option<(Timer, u64)> = None;
    poll_fn(|cx| {
        let up_ended = up.poll(cx, &mut client, &mut upstream)?.is_ready();
        let down_ended = down.poll(cx, &mut upstream, &mut client)?.is_ready();
        match (up_ended, down_ended) {
            (true, true) => return Poll::Ready(Ok(())),
            (false, false) => return Poll::Pending,
            _ => {}
        }
        let moved = up.read + down.read;
        let (timer, seen) = half_closed.get_or_insert_with(|| (Timer::new(idle), moved));
        if std::mem::replace(seen, moved) != moved {
            timer.restart(idle);
        }
        timer.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

struct Direction {
    /// Read, and not yet taken by the other side.
    kept: Bytes,
    /// Bytes read so far.
    read: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Copying,
    /// Its reader has ended; the writer is to be told.
    Ending,
    Ended,
}

impl Direction {
    fn new(kept: Bytes) -> Self {
        Self { kept, read: 0, state: State::Copying }
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while self.kept.has_remaining() {
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, &self.kept))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.kept.advance(written);
            }
            match self.state {
                State::Copying => {
                    if ready!(self.copy(cx, reader, writer))? {
                        self.state = State::Ending;
                    }
                }
                State::Ending => {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Reads once and writes what the writer takes at once. True at the end of the stream.
    fn copy<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<bool>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            if Pin::new(&mut *reader).poll_read(cx, &mut buffer)?.is_pending() {
                // Nothing more for now: what the writer holds back (TLS records) must go.
                ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                return Poll::Pending;
            }
            let mut read = buffer.filled();
            self.read += read.len() as u64;
            let at_end = read.is_empty();
            while !read.is_empty() {
                match Pin::new(&mut *writer).poll_write(cx, read)? {
                    Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(written) => read = &read[written..],
                    Poll::Pending => {
                        self.kept = Bytes::copy_from_slice(read);
                        break;
                    }
                }
            }
            Poll::Ready(Ok(at_end))
        })
    }
}
