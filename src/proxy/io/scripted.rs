//! Streams in memory for tests, whose other end does what a script says.
//!
//! The other end, a [`Peer`], decides byte by byte what the stream under test sees: what can be read, how much a
//! write accepts, whether written bytes wait for a flush (as TLS records do), and when the connection is reset.
//! Wakers are called as a socket would, so code that forgets to register for an event hangs.

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug)]
struct Wire {
    /// To be read by the stream, read by read.
    input: VecDeque<Bytes>,
    input_ended: bool,
    /// How many bytes the stream may still write.
    room: usize,
    /// The most that one write accepts.
    max_write: usize,
    /// Written bytes are not delivered before a flush.
    holds_back: bool,
    held_back: Vec<u8>,
    delivered: Vec<u8>,
    writes: usize,
    shut_down: bool,
    dropped: bool,
    read_error: Option<io::ErrorKind>,
    write_error: Option<io::ErrorKind>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

/// The end that the code under test owns.
#[derive(Debug)]
pub(crate) struct ScriptedStream(Arc<Mutex<Wire>>);

/// The end that the test owns.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<Mutex<Wire>>);

/// A stream without limits, and its other end.
pub(crate) fn scripted() -> (ScriptedStream, Peer) {
    let wire = Arc::new(Mutex::new(Wire {
        input: VecDeque::new(),
        input_ended: false,
        room: usize::MAX,
        max_write: usize::MAX,
        holds_back: false,
        held_back: Vec::new(),
        delivered: Vec::new(),
        writes: 0,
        shut_down: false,
        dropped: false,
        read_error: None,
        write_error: None,
        reader: None,
        writer: None,
    }));
    (ScriptedStream(Arc::clone(&wire)), Peer(wire))
}

impl Peer {
    /// Lets the stream read these bytes, in one read.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if !bytes.is_empty() {
            let mut wire = self.0.lock();
            wire.input.push_back(Bytes::copy_from_slice(bytes));
            wire.wake();
        }
    }

    /// The stream reads its end, behind what was sent.
    pub(crate) fn end(&self) {
        let mut wire = self.0.lock();
        wire.input_ended = true;
        wire.wake();
    }

    /// Reads and writes fail. What was sent and not read is lost.
    pub(crate) fn reset(&self) {
        let mut wire = self.0.lock();
        wire.input.clear();
        wire.read_error = Some(io::ErrorKind::ConnectionReset);
        wire.write_error = Some(io::ErrorKind::ConnectionReset);
        wire.wake();
    }

    /// Writes fail; what was sent can still be read.
    pub(crate) fn close_for_writing(&self) {
        let mut wire = self.0.lock();
        wire.write_error = Some(io::ErrorKind::BrokenPipe);
        wire.wake();
    }

    /// The stream may write so many bytes from now on, and no more.
    pub(crate) fn set_room(&self, room: usize) {
        let mut wire = self.0.lock();
        wire.room = room;
        wire.wake();
    }

    /// One write accepts no more than this.
    pub(crate) fn set_max_write(&self, max_write: usize) {
        self.0.lock().max_write = max_write;
    }

    /// From now on written bytes wait for a flush.
    pub(crate) fn hold_back(&self) {
        self.0.lock().holds_back = true;
    }

    /// What was delivered since the last call.
    pub(crate) fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().delivered)
    }

    /// As [`received`](Self::received), for text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.received()).expect("text")
    }

    /// How many writes there were.
    pub(crate) fn writes(&self) -> usize {
        self.0.lock().writes
    }

    /// Whether the stream has been shut down for writing, or dropped.
    pub(crate) fn is_ended(&self) -> bool {
        let wire = self.0.lock();
        wire.shut_down || wire.dropped
    }
}

impl ScriptedStream {
    /// Nothing can be read: no data, end or error.
    pub(crate) fn is_quiet(&self) -> bool {
        let wire = self.0.lock();
        wire.input.is_empty() && !wire.input_ended && wire.read_error.is_none()
    }
}

impl AsyncRead for ScriptedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.lock();
        if let Some(kind) = wire.read_error {
            return Poll::Ready(Err(kind.into()));
        }
        match wire.input.front_mut() {
            Some(bytes) => {
                let count = bytes.len().min(buf.remaining());
                buf.put_slice(&bytes[..count]);
                bytes.advance(count);
                if bytes.is_empty() {
                    wire.input.pop_front();
                }
            }
            None if wire.input_ended => {}
            None => {
                wire.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ScriptedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.lock();
        if let Some(kind) = wire.write_error {
            return Poll::Ready(Err(kind.into()));
        }
        let count = bytes.len().min(wire.room).min(wire.max_write);
        if count == 0 && !bytes.is_empty() {
            wire.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wire.room -= count;
        wire.writes += 1;
        let target = if wire.holds_back { &mut wire.held_back } else { &mut wire.delivered };
        target.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.lock();
        if let Some(kind) = wire.write_error {
            return Poll::Ready(Err(kind.into()));
        }
        wire.delivered.append(&mut wire.held_back);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_mut().poll_flush(cx);
        self.0.lock().shut_down = true;
        flushed
    }
}

impl Drop for ScriptedStream {
    fn drop(&mut self) {
        self.0.lock().dropped = true;
    }
}

/// Lets every task run that can.
pub(crate) async fn settle() {
    for _ in 0..30 {
        tokio::task::yield_now().await;
    }
}
