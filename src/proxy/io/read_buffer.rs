//! What is read from sockets lands in blocks that connections share.

use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is read shares blocks of this size, one at a time per thread, so that a read allocates nothing and a
/// connection that lies idle holds nothing.
const BLOCK: usize = 64 * 1024;

/// The least room that is read into.
const ROOM: usize = 8 * 1024;

thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::default();
}

/// Reads once, behind what is left in `input`. 0 at the end of the stream.
pub(crate) fn poll_read<S>(stream: &mut S, cx: &mut Context<'_>, input: &mut Bytes) -> Poll<io::Result<usize>>
where
    S: AsyncRead + Unpin,
{
    let_go(input);
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        if buffer.capacity() < input.len() + ROOM {
            buffer.reserve(input.len() + BLOCK);
        }
        buffer.extend_from_slice(input);
        let count = ready!(pin!(stream.read_buf(buffer)).poll(cx))?;
        *input = buffer.split().freeze();
        Poll::Ready(Ok(count))
    })
}

/// Lets go of the block of what has been taken to its end, which would still hold on to it.
pub(crate) fn let_go(input: &mut Bytes) {
    if input.is_empty() {
        *input = Bytes::new();
    }
}

/// Moves what a client has begun and not finished out of the block, which it could keep alive for the price of a
/// byte.
pub(crate) fn leave(input: &mut Bytes) {
    *input = Bytes::copy_from_slice(input);
}

/// As [`leave`], for a piece of a body that is small beside its block.
pub(crate) fn leave_if_small(piece: Bytes) -> Bytes {
    if piece.len() < BLOCK / 8 { Bytes::copy_from_slice(&piece) } else { piece }
}
