//! Reads into blocks that all connections of a thread share.
//!
//! A read allocates nothing most of the time, and an idle connection holds no buffer: what was read is a slice
//! ([`Bytes`]) of a block of 64 KiB, one at a time per thread. A slice keeps its whole block alive, so bytes that may
//! wait for long (the beginning of a head, a small piece of a body) are copied out: [`detach`], [`detach_if_small`].
//! Still, a client that is slow to read a few bytes, or whose request waits for its upstream, can keep one block alive.

use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The size of a block.
const BLOCK: usize = 64 * 1024;

/// The least room that is read into.
const MIN_ROOM: usize = 8 * 1024;

thread_local! {
    static CURRENT: RefCell<BytesMut> = RefCell::default();
}

/// Reads once and appends to what is left in `unread`. Yields 0 at the end of the stream.
pub(crate) fn poll_read<S>(stream: &mut S, cx: &mut Context<'_>, unread: &mut Bytes) -> Poll<io::Result<usize>>
where
    S: AsyncRead + Unpin,
{
    release_if_empty(unread);
    CURRENT.with_borrow_mut(|block| {
        block.clear();
        if block.capacity() < unread.len() + MIN_ROOM {
            block.reserve(unread.len() + BLOCK);
        }
        block.extend_from_slice(unread);
        let count = ready!(pin!(stream.read_buf(block)).poll(cx))?;
        *unread = block.split().freeze();
        Poll::Ready(Ok(count))
    })
}

/// Releases the block behind a slice that has been consumed: an empty `Bytes` still holds a reference.
pub(crate) fn release_if_empty(unread: &mut Bytes) {
    if unread.is_empty() {
        *unread = Bytes::new();
    }
}

/// Copies out of the block what has to wait for more input: otherwise one byte of a slow client could keep 64 KiB
/// alive.
pub(crate) fn detach(unread: &mut Bytes) {
    *unread = Bytes::copy_from_slice(unread);
}

/// As [`detach`], for a piece of a body that is small beside its block.
pub(crate) fn detach_if_small(piece: Bytes) -> Bytes {
    if piece.len() < BLOCK / 8 { Bytes::copy_from_slice(&piece) } else { piece }
}
