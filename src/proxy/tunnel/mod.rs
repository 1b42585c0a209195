//! After a 101: bytes both ways until both sides are done, or until the tunnel is told to leave.
//!
//! A WebSocket is idle almost always, so a tunnel holds no buffer while it is: what is read goes through one
//! scratch buffer per thread, and only what the other side does not take at once is kept.

mod close;
pub(crate) mod drain_notification;
mod frames;
#[cfg(test)]
mod tests;

use crate::proxy::access_log::AccessLog;
use crate::proxy::exchange::place::Place;
use crate::proxy::io::latched_waker::LatchedWaker;
use crate::proxy::io::read_buffer;
use crate::proxy::io::timer::LazyTimer;
use crate::proxy::io::write::poll_write_all;
use crate::proxy::proxy::Shared;
use crate::proxy::upstream::connection::Conn;
use crate::proxy::upstream::statistics::OpenTunnel;
use bytes::Bytes;
use frames::Frames;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const SCRATCH: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// What both sides have agreed to speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speech {
    WebSocket,
    /// Anything else.
    Opaque,
}

/// An upstream that has said 101, until the client has heard so. Holds the lease as long as the tunnel lives.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) conn: Box<Conn>,
    pub(crate) lease: Place,
    /// The session's, by which it has its moment to leave.
    pub(crate) session_id: u64,
    pub(crate) speech: Speech,
    pub(crate) shared: Arc<Shared>,
    /// For how long it may stand still once one side has ended, or does not take what the other has said.
    pub(crate) idle: Duration,
    pub(crate) _log: AccessLog,
}

impl Tunnel {
    /// Carries what both sides say from now on, after what the client has said already.
    pub(crate) async fn run<C: AsyncRead + AsyncWrite + Unpin>(self: Box<Self>, mut client: C, said: Bytes) {
        let Self { conn, lease, session_id, speech, shared, idle, _log } = *self;
        let _open = conn.cell().map(|cell| OpenTunnel::new(Arc::clone(cell)));
        let _hold = lease.upstream().guard_session(session_id);
        let (mut upstream, early) = conn.into_stream();
        let moment = || lease.upstream().drain_deadline(session_id);
        let leaving = pin!(shared.departures.wait(moment, &*shared.clock));
        // Either side may end a tunnel as it likes, so its errors are nobody's.
        if let Err(error) = tunnel(&mut client, &mut upstream, [said, early], speech, idle, leaving).await {
            tracing::debug!(upstream = lease.upstream().name(), %error, "tunnel broke off");
        }
    }
}

/// Copies between `client` and `upstream`; `said` is what was read of the two before.
///
/// Each side's end of stream is passed on as a shutdown of the other, and the tunnel ends when both have ended or
/// one fails. A tunnel may be silent for as long as it likes. One where a side has ended, or takes nothing of what it is to
/// hear, may stand still for `idle`, both ways: it would never learn that the other has gone. Once `leaving` completes, both sides are
/// told to [leave](close::leave).
fn tunnel<C, U>(
    client: &mut C,
    upstream: &mut U,
    said: [Bytes; 2],
    speech: Speech,
    idle: Duration,
    mut leaving: Pin<&mut impl Future<Output = ()>>,
) -> impl Future<Output = io::Result<()>>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (said_by_client, said_by_server) = match speech {
        Speech::WebSocket => (Frames::of_client(), Frames::of_server()),
        Speech::Opaque => (Frames::opaque(), Frames::opaque()),
    };
    let [said, early] = said;
    let mut up = Direction::new(said, said_by_client);
    let mut down = Direction::new(early, said_by_server);
    let mut unfinished: Option<(LazyTimer, u64)> = None;
    let latch = LatchedWaker::new();
    // A block, since an async function would hold its arguments twice.
    async move {
        let told = poll_fn(|cx| {
            if latch.take(cx) {
                let waker = Waker::from(Arc::clone(&latch));
                if leaving.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    return Poll::Ready(Ok(true));
                }
            }
            let up_ended = up.poll(cx, client, upstream)?.is_ready();
            let down_ended = down.poll(cx, upstream, client)?.is_ready();
            if up_ended && down_ended {
                return Poll::Ready(Ok(false));
            }
            if !up.is_unfinished() && !down.is_unfinished() {
                return Poll::Pending;
            }
            let moved = up.moved + down.moved;
            let (timer, seen) = unfinished.get_or_insert_with(|| (LazyTimer::new(idle), moved));
            // Nobody becomes unfinished anew without a byte that moved, so this is never the time of an earlier stall.
            if std::mem::replace(seen, moved) != moved {
                timer.restart(idle);
            }
            timer.poll(cx).map(|()| Err(io::Error::from(io::ErrorKind::TimedOut)))
        })
        .await?;
        if told {
            // Boxed because it comes once at the end, and would be a part of every idle tunnel.
            Box::pin(close::leave(client, upstream, up, down)).await;
        }
        Ok(())
    }
}

struct Direction {
    /// Read, and not yet taken by the other side.
    kept: Bytes,
    /// Bytes read so far, and those of them that the other side took later.
    moved: u64,
    /// As far as it was read.
    frames: Frames,
    /// Its reader has ended.
    ended: bool,
    /// Its writer has been told the end.
    shut: bool,
}

impl Direction {
    fn new(early: Bytes, mut frames: Frames) -> Self {
        frames.follow(&early);
        Self { kept: early, moved: 0, frames, ended: false, shut: false }
    }

    /// Whether something is to be told yet that is known already.
    fn is_unfinished(&self) -> bool {
        self.ended || !self.kept.is_empty()
    }

    /// Copies. Ready once its reader has ended and its writer has been told.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            ready!(self.write(cx, writer))?;
            if self.ended {
                return self.shut(cx, writer);
            }
            ready!(self.copy(cx, SCRATCH, reader, writer))?;
        }
    }

    /// Writes what was kept.
    fn write<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>> {
        let Self { kept, moved, .. } = self;
        ready!(poll_write_all(writer, cx, kept, |written| *moved += written as u64))?;
        read_buffer::release_if_empty(&mut self.kept);
        Poll::Ready(Ok(()))
    }

    fn shut<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(writer).poll_shutdown(cx))?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, up to `limit` bytes, and writes what the writer takes at once. Nothing may be kept.
    fn copy<R, W>(&mut self, cx: &mut Context<'_>, limit: usize, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(&mut buffer[..limit]);
            if self.read(cx, reader, &mut buffer)?.is_pending() {
                // Nothing more for now: what the writer holds back (TLS records) must go.
                ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                return Poll::Pending;
            }
            let mut read = buffer.filled();
            if poll_write_all(writer, cx, &mut read, |_| {})?.is_pending() {
                self.kept = Bytes::copy_from_slice(read);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Reads once and drops it.
    fn drain<R: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, reader: &mut R) -> Poll<io::Result<()>> {
        BUFFER.with_borrow_mut(|buffer| self.read(cx, reader, &mut ReadBuf::new(buffer)))
    }

    fn read<R>(&mut self, cx: &mut Context<'_>, reader: &mut R, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
    {
        ready!(Pin::new(reader).poll_read(cx, buffer))?;
        let read = buffer.filled();
        self.moved += read.len() as u64;
        self.ended = read.is_empty();
        self.frames.follow(read);
        Poll::Ready(Ok(()))
    }
}
