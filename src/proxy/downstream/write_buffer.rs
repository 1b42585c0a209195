//! What is on its way to a client of HTTP/1.

use crate::proxy::exchange::client::Activity;
use crate::proxy::io::write::SMALL;
use crate::proxy::upstream::upload::last_chunk;
use bytes::{Buf, Bytes};
use http_body::Frame;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
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
        loop {
            let buffer = &self.buffer[self.sent..];
            let stream = Pin::new(&mut *stream);
            let written = match (buffer, &*self.piece, self.end) {
                ([], [], []) => break,
                (only, [], []) => stream.poll_write(cx, only),
                (buffer, piece, end) => stream.poll_write_vectored(cx, &[buffer, piece, end].map(IoSlice::new)),
            };
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            activity.note_write(written);
            self.advance(written);
        }
        self.buffer.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        let of_buffer = written.min(self.buffer.len() - self.sent);
        self.sent += of_buffer;
        let of_piece = (written - of_buffer).min(self.piece.len());
        self.piece.advance(of_piece);
        self.end = &self.end[written - of_buffer - of_piece..];
    }
}
