//! One direction of a tunnel: reads from one side and writes to the other.

use super::frames::Frames;
use crate::proxy::io::read_buffer;
use crate::proxy::io::write::poll_write_all;
use bytes::Bytes;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is read at once.
pub(super) const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Every read of a tunnel goes through it, so that an idle tunnel holds no buffer.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

pub(super) struct Direction {
    /// Read, and not yet accepted by the writer.
    pub(super) unsent: Bytes,
    /// Progress: bytes read, and bytes of `unsent` that the writer accepted later.
    pub(super) moved: u64,
    /// The frames of what was read.
    pub(super) frames: Frames,
    /// The reader has ended.
    pub(super) ended: bool,
    /// The writer has been shut down.
    pub(super) shut: bool,
}

impl Direction {
    pub(super) fn new(early: Bytes, mut frames: Frames) -> Self {
        frames.follow(&early);
        Self { unsent: early, moved: 0, frames, ended: false, shut: false }
    }

    /// Whether the writer is still to be told of data or an end that was read.
    pub(super) fn is_unfinished(&self) -> bool {
        self.ended || !self.unsent.is_empty()
    }

    /// Copies. Ready once the reader has ended and the writer has been shut down.
    pub(super) fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
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

    /// Writes what is unsent.
    pub(super) fn write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        let Self { unsent, moved, .. } = self;
        ready!(poll_write_all(writer, cx, unsent, |written| *moved += written as u64))?;
        read_buffer::release_if_empty(&mut self.unsent);
        Poll::Ready(Ok(()))
    }

    pub(super) fn shut<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(writer).poll_shutdown(cx))?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, up to `limit` bytes, and writes what the writer accepts at once. Nothing may be unsent.
    pub(super) fn copy<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(&mut buffer[..limit]);
            if self.read(cx, reader, &mut buffer)?.is_pending() {
                // Nothing more for now, so what the writer holds back (TLS records) must go.
                ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                return Poll::Pending;
            }
            let mut read = buffer.filled();
            if poll_write_all(writer, cx, &mut read, |_| {})?.is_pending() {
                self.unsent = Bytes::copy_from_slice(read);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Reads once and discards.
    pub(super) fn drain<R: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, reader: &mut R) -> Poll<io::Result<()>> {
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
