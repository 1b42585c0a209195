//! Both directions of a tunnel.

use super::close::close;
use super::direction::Direction;
use super::frames::Frames;
use crate::proxy::io::latched_waker::LatchedWaker;
use crate::proxy::io::timer::LazyTimer;
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// What both sides of a tunnel have agreed to speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TunnelProtocol {
    WebSocket,
    /// Anything else: its frames, if any, are unknown.
    Opaque,
}

/// Copies between `client` and `upstream`; `received` is what was read of the two before.
///
/// Each side's end of stream is passed on as a shutdown of the other, and the tunnel ends when both have ended or one
/// fails. A tunnel may be silent for any time. But once a side has ended, or accepts nothing of what is to be written
/// to it, `idle` without progress either way ends the tunnel with [`io::ErrorKind::TimedOut`]: it would never learn
/// that the other has gone. Once `drained` completes, both sides are [closed gracefully](fn@close).
pub(crate) fn tunnel<C, U>(
    client: &mut C,
    upstream: &mut U,
    received: [Bytes; 2],
    protocol: TunnelProtocol,
    idle: Duration,
    mut drained: Pin<&mut impl Future<Output = ()>>,
) -> impl Future<Output = io::Result<()>>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (client_frames, upstream_frames) = match protocol {
        TunnelProtocol::WebSocket => (Frames::of_client(), Frames::of_server()),
        TunnelProtocol::Opaque => (Frames::opaque(), Frames::opaque()),
    };
    let [from_client, from_upstream] = received;
    let mut up = Direction::new(from_client, client_frames);
    let mut down = Direction::new(from_upstream, upstream_frames);
    let mut unfinished: Option<(LazyTimer, u64)> = None;
    let latch = LatchedWaker::new();
    // An async block, since an async function would hold its arguments twice.
    async move {
        let is_drained = poll_fn(|cx| {
            if latch.take(cx) {
                let waker = Waker::from(Arc::clone(&latch));
                if drained.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
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
            // A direction becomes unfinished anew only when a byte moves, so this is never the time of an earlier
            // stall.
            if std::mem::replace(seen, moved) != moved {
                timer.restart(idle);
            }
            timer.poll(cx).map(|()| Err(io::Error::from(io::ErrorKind::TimedOut)))
        })
        .await?;
        if is_drained {
            // Boxed: it runs once at the end, and would be a part of every idle tunnel.
            Box::pin(close(client, upstream, up, down)).await;
        }
        Ok(())
    }
}
