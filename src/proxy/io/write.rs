//! The write loop: writes a buffer of one or many pieces to a stream, in as few system calls as possible.

use bytes::Buf;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Up to this many bytes are copied into one piece rather than written from several. The kernel serves `writev`
/// markedly slower than `send`; for a few kilobytes the copy that makes one buffer of head and body is cheaper. Large
/// bodies are never copied.
pub(crate) const SMALL: usize = 4096;

/// The most pieces that go out in one write.
const MAX_PIECES: usize = 16;

thread_local! {
    static COPIED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(SMALL));
}

/// Writes all of `buffer` and takes off it what the stream has accepted. `on_write` is told the bytes of every write.
///
/// It does not flush. A stream that accepts 0 bytes is an error: [`io::ErrorKind::WriteZero`].
pub(crate) fn poll_write_all<S, B>(
    stream: &mut S,
    cx: &mut Context<'_>,
    buffer: &mut B,
    mut on_write: impl FnMut(usize),
) -> Poll<io::Result<()>>
where
    S: AsyncWrite + Unpin,
    B: Buf,
{
    while buffer.has_remaining() {
        let piece = buffer.chunk();
        let written = if piece.len() == buffer.remaining() {
            ready!(Pin::new(&mut *stream).poll_write(cx, piece))?
        } else {
            let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
            let count = buffer.chunks_vectored(&mut pieces);
            ready!(poll_write_vectored(stream, cx, &pieces[..count]))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        buffer.advance(written);
        on_write(written);
    }
    Poll::Ready(Ok(()))
}

/// One vectored write, as a plain one of a copy where there are at most [`SMALL`] bytes.
pub(crate) fn poll_write_vectored<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > SMALL {
        return stream.poll_write_vectored(cx, pieces);
    }
    COPIED.with_borrow_mut(|copied| {
        copied.clear();
        pieces.iter().for_each(|piece| copied.extend_from_slice(piece));
        stream.poll_write(cx, copied)
    })
}
