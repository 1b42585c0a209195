//! Closes a tunnel gracefully: its upstream drains, and its client is to reconnect.

use super::direction::{Direction, SCRATCH};
use crate::proxy::io::timer::LazyTimer;
use bytes::Bytes;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long both sides have to finish their frames and to answer a Close; and, where one has not, how long it has to
/// end its stream once it has been shut down.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Closes both sides.
///
/// Each way, the rest of the frame under way is passed on and a Close with status 1012 ("Service Restart") behind it:
/// fragments of a message are frames too, and a Close may come between them (RFC 6455, section 5.4). Nothing is
/// passed on after that, not even the answering Close, which would be a second one. A side that has answered, or
/// ended, is shut down. Where the protocol is no WebSocket, or its rules are broken, both sides are shut down at
/// once. After [`GRACE`] they are shut down wherever they are.
///
/// Both sides are read until they end: a socket that is closed with bytes unread resets its connection, and a reset may
/// overtake the Close. A side that fails is done, and does not keep the other from its Close.
pub(super) async fn close<C, U>(client: &mut C, upstream: &mut U, up: Direction, down: Direction)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Closing { direction: up, cut: false }, Closing { direction: down, cut: false });
    let mut timer = LazyTimer::new(GRACE);
    let mut late = false;
    poll_fn(|cx| {
        while timer.poll(cx).is_ready() {
            if late || (up.direction.shut && down.direction.shut) {
                return Poll::Ready(());
            }
            late = true;
            up.abandon();
            down.abandon();
            timer.restart(GRACE);
        }
        let framed = loop {
            let framed = up.is_framed() && down.is_framed();
            up.read(cx, client, upstream, framed);
            down.read(cx, upstream, client, framed);
            // A stream that broke the rules just now changes how both are closed.
            if framed == (up.is_framed() && down.is_framed()) {
                break framed;
            }
        };
        up.write(cx, upstream, late || !framed || down.is_over());
        down.write(cx, client, late || !framed || up.is_over());
        if up.is_done() && down.is_done() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// One direction of a tunnel that is being closed.
struct Closing {
    direction: Direction,
    /// Nothing that is read is passed on any more.
    cut: bool,
}

impl Closing {
    /// Reads all there is: passes it on up to the end of the frame, and discards the rest.
    fn read<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W, framed: bool)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.direction.ended {
            let owed = self.direction.frames.owed();
            if !self.cut && (!framed || owed == 0) {
                self.cut(framed);
            }
            let Self { direction, cut } = self;
            let polled = if *cut {
                direction.drain(cx, reader)
            } else {
                let limit = usize::try_from(owed).map_or(SCRATCH, |owed| owed.min(SCRATCH));
                match direction.write(cx, writer) {
                    Poll::Ready(Ok(())) => direction.copy(cx, limit, reader, writer),
                    blocked => blocked,
                }
            };
            match polled {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) if *cut => direction.ended = true,
                Poll::Ready(Err(_)) => self.abandon(),
                Poll::Pending => return,
            }
        }
    }

    /// Ends what is passed on, with a Close if it consists of frames.
    fn cut(&mut self, framed: bool) {
        let Direction { unsent, frames, .. } = &mut self.direction;
        if let Some(close) = frames.close().filter(|_| framed) {
            *unsent = match unsent.is_empty() {
                true => Bytes::from_static(close),
                false => [unsent, close].concat().into(),
            };
        }
        self.cut = true;
    }

    /// Ends what is passed on, even inside a frame.
    fn abandon(&mut self) {
        self.direction.unsent.clear();
        self.cut = true;
    }

    /// Writes what is unsent and, once `may_shut`, shuts the writer down. Where the reader ended by itself, that is
    /// passed on as always.
    fn write<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, writer: &mut W, may_shut: bool) {
        let Self { direction, cut } = self;
        if !*cut && !direction.ended {
            return;
        }
        let written = match direction.write(cx, writer) {
            Poll::Ready(Ok(())) if may_shut || !*cut => direction.shut(cx, writer),
            Poll::Ready(Ok(())) => Pin::new(writer).poll_flush(cx),
            other => other,
        };
        if let Poll::Ready(Err(_)) = written {
            // It accepts nothing any more, which is as good as shut down.
            direction.unsent.clear();
            direction.shut = true;
        }
    }

    fn is_framed(&self) -> bool {
        !self.direction.frames.are_opaque()
    }

    /// Whether the reader sends nothing more that counts.
    fn is_over(&self) -> bool {
        self.direction.ended || self.direction.frames.have_closed()
    }

    fn is_done(&self) -> bool {
        self.direction.ended && self.direction.shut
    }
}
