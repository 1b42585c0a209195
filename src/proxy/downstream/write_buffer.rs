//! What is on its way to a client of HTTP/1.

use crate::proxy::exchange::client::Activity;
use crate::proxy::io::write::{SMALL, poll_write_all};
use crate::proxy::upstream::upload::last_chunk;
use bytes::{Buf, Bytes};
use http_body::Frame;
use std::io::{self, IoSlice, Write};
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// How a body is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Coding {
    /// As it is: its head says how long it is, or the end of the connection ends it.
    Plain,
    Chunked {
        /// The client wants to have trailers.
        trailers: bool,
    },
}

/// Lines and small pieces in one buffer, and behind them perhaps one large piece.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    buffer: Vec<u8>,
    sent: usize,
    piece: Bytes,
    /// What follows the piece.
    end: &'static [u8],
}

impl Outgoing {
    /// Whether more can join what is not yet written.
    pub(crate) fn has_room(&self) -> bool {
        self.piece.is_empty() && self.end.is_empty() && self.buffer.len() < SMALL
    }

    pub(crate) fn lines(&mut self, lines: Vec<u8>) {
        if self.buffer.is_empty() { self.buffer = lines } else { self.buffer.extend_from_slice(&lines) }
    }

    /// True if it was the last frame.
    pub(crate) fn frame(&mut self, frame: Frame<Bytes>, coding: Coding) -> bool {
        match (frame.into_data(), coding) {
            (Ok(data), _) => self.data(data, coding != Coding::Plain),
            (Err(frame), Coding::Chunked { trailers: true }) => {
                self.buffer.extend_from_slice(&last_chunk(&frame.into_trailers().unwrap_or_default()));
                return true;
            }
            (Err(_), _) => {}
        }
        false
    }

    fn data(&mut self, data: Bytes, chunked: bool) {
        if data.is_empty() {
            // As a chunk it would end the body.
            return;
        }
        if chunked {
            // A vector takes what it is given.
            let _ = write!(self.buffer, "{:x}\r\n", data.len());
        }
        let end: &[u8] = if chunked { b"\r\n" } else { b"" };
        if data.len() <= SMALL {
            self.buffer.extend_from_slice(&data);
            self.buffer.extend_from_slice(end);
        } else {
            (self.piece, self.end) = (data, end);
        }
    }

    /// The body is whole.
    pub(crate) fn end(&mut self, coding: Coding) {
        if coding != Coding::Plain {
            self.buffer.extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Writes all of it.
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
impl Buf for Outgoing {
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
