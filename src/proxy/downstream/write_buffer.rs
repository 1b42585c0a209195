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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::io::scripted::{Peer, ScriptedStream, scripted};
    use std::task::Waker;

    const LARGE: usize = SMALL + 1;

    /// Sends a head and frames of these sizes, as the server does.
    fn send(sizes: &[usize], coding: Coding, stream: &mut ScriptedStream, peer: &Peer, room: usize) -> Vec<u8> {
        let (activity, mut buffer) = (Activity::default(), WriteBuffer::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut write = |buffer: &mut WriteBuffer| {
            // The stream is full until it is given room.
            peer.set_room(room);
            while buffer.poll_write(&mut cx, stream, &activity).map(|written| written.unwrap()).is_pending() {
                peer.set_room(room);
            }
        };
        buffer.push_head(b"HEAD\r\n\r\n".to_vec());
        for (fill, size) in sizes.iter().enumerate() {
            if !buffer.has_room() {
                write(&mut buffer);
            }
            buffer.push_frame(Frame::data(vec![b'a' + fill as u8; *size].into()), coding);
        }
        if !buffer.has_room() {
            write(&mut buffer);
        }
        buffer.end(coding);
        write(&mut buffer);
        peer.received()
    }

    #[test]
    fn frames_of_any_size_pass_in_writes_of_any_size() {
        for sizes in [&[0, 1, 0, 2][..], &[SMALL, 1, SMALL], &[LARGE, 5, LARGE], &[7, LARGE, 0, 7], &[]] {
            for coding in [Coding::Plain, Coding::Chunked { trailers: false }] {
                let mut expected = b"HEAD\r\n\r\n".to_vec();
                for (fill, size) in sizes.iter().enumerate().filter(|(_, size)| **size > 0) {
                    let data = vec![b'a' + fill as u8; *size];
                    match coding {
                        Coding::Plain => expected.extend(data),
                        Coding::Chunked { .. } => {
                            expected.extend([format!("{size:x}\r\n").as_bytes(), &data, b"\r\n"].concat())
                        }
                    }
                }
                if coding != Coding::Plain {
                    expected.extend(b"0\r\n\r\n");
                }
                for (max_write, room) in [(1, 1), (3, 7), (SMALL, SMALL), (LARGE, 10_000), (usize::MAX, usize::MAX)] {
                    let (mut stream, peer) = scripted();
                    peer.set_max_write(max_write);
                    let sent = send(sizes, coding, &mut stream, &peer, room);
                    assert!(sent == expected, "{sizes:?} {coding:?} in writes of {max_write}, room for {room}");
                }
            }
        }
    }

    #[test]
    fn a_head_and_a_small_body_leave_in_one_write() {
        for (size, writes) in [(10, 1), (SMALL - 8, 1), (LARGE, 1)] {
            let (mut stream, peer) = scripted();
            send(&[size], Coding::Plain, &mut stream, &peer, usize::MAX);
            // A vectored write of this stream takes the first piece alone.
            assert_eq!(peer.writes(), writes + usize::from(size == LARGE), "{size}");
        }
    }

    #[test]
    fn trailers_go_to_clients_that_accept_them_alone() {
        for (trailers, expected) in [(true, "0\r\nx-sum: 1\r\n\r\n"), (false, "")] {
            let mut fields = HeaderMap::new();
            fields.insert("x-sum", "1".parse().unwrap());
            let mut buffer = WriteBuffer::default();
            assert_eq!(buffer.push_frame(Frame::trailers(fields), Coding::Chunked { trailers }), trailers);
            assert_eq!(buffer.chunk(), expected.as_bytes());
        }
    }

    #[test]
    fn a_stream_that_accepts_nothing_is_an_error() {
        struct Nothing;
        impl AsyncWrite for Nothing {
            fn poll_write(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(0))
            }
            fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        let mut buffer = WriteBuffer::default();
        buffer.push_head(b"x".to_vec());
        let written = buffer.poll_write(&mut Context::from_waker(Waker::noop()), &mut Nothing, &Activity::default());
        assert!(matches!(written, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WriteZero));
    }
}
