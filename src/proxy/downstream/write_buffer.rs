//! The bytes that are on their way to a client of HTTP/1.1.

use crate::proxy::exchange::activity::Activity;
use crate::proxy::http1::{CHUNK_END, write_chunk_size, write_last_chunk};
use crate::proxy::io::write::{SMALL, poll_write_all};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Frame;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// How a body is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Coding {
    /// Not at all: its length, or the end of the connection, ends it.
    Plain,
    Chunked {
        /// The client accepts trailers.
        trailers: bool,
    },
}

/// Heads and small pieces in one buffer, and behind them at most one large piece, which is not copied.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    buffer: Vec<u8>,
    sent: usize,
    piece: Bytes,
    /// What follows the piece.
    end: &'static [u8],
}

impl WriteBuffer {
    /// Whether more can join what is not yet written.
    pub(crate) fn has_room(&self) -> bool {
        self.piece.is_empty() && self.end.is_empty() && self.buffer.len() < SMALL
    }

    /// Appends a head; takes over its allocation where there is nothing before it.
    pub(crate) fn push_head(&mut self, head: Vec<u8>) {
        if self.buffer.is_empty() { self.buffer = head } else { self.buffer.extend_from_slice(&head) }
    }

    /// Appends a frame of the body. True if it was the last.
    pub(crate) fn push_frame(&mut self, frame: Frame<Bytes>, coding: Coding) -> bool {
        match (frame.into_data(), coding) {
            (Ok(data), _) => self.push_data(data, coding != Coding::Plain),
            (Err(frame), Coding::Chunked { trailers: true }) => {
                write_last_chunk(&mut self.buffer, &frame.into_trailers().unwrap_or_default());
                return true;
            }
            (Err(_), _) => {}
        }
        false
    }

    fn push_data(&mut self, data: Bytes, chunked: bool) {
        if data.is_empty() {
            // An empty chunk would end the body.
            return;
        }
        if chunked {
            write_chunk_size(&mut self.buffer, data.len());
        }
        let end = if chunked { CHUNK_END } else { b"" };
        if data.len() <= SMALL {
            self.buffer.extend_from_slice(&data);
            self.buffer.extend_from_slice(end);
        } else {
            (self.piece, self.end) = (data, end);
        }
    }

    /// Appends the end of the body.
    pub(crate) fn end(&mut self, coding: Coding) {
        if coding != Coding::Plain {
            write_last_chunk(&mut self.buffer, &HeaderMap::new());
        }
    }

    /// Writes all of it. Does not flush.
    pub(crate) fn poll_write<S>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        activity: &Activity,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        ready!(poll_write_all(stream, cx, self, |written| activity.note_write(written)))?;
        self.buffer.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

/// What is left to write.
impl Buf for WriteBuffer {
    fn remaining(&self) -> usize {
        self.buffer.len() - self.sent + self.piece.len() + self.end.len()
    }

    fn chunk(&self) -> &[u8] {
        match (&self.buffer[self.sent..], &*self.piece) {
            ([], []) => self.end,
            ([], piece) => piece,
            (buffer, _) => buffer,
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = [&self.buffer[self.sent..], &self.piece, self.end];
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, written: usize) {
        let of_buffer = written.min(self.buffer.len() - self.sent);
        self.sent += of_buffer;
        let of_piece = (written - of_buffer).min(self.piece.len());
        self.piece.advance(of_piece);
        self.end = &self.end[written - of_buffer - of_piece..];
    }
}
