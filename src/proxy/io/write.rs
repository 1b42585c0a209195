//! Small messages leave in one plain write.
//!
//! The kernel serves `writev` markedly slower than `send`; for a few kilobytes the copy that makes one buffer of head and
//! body is cheaper. Large bodies are never copied.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Up to this many bytes are copied.
pub(crate) const SMALL: usize = 4096;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(SMALL));
}

pub(crate) fn poll_write_vectored<T: AsyncWrite + Unpin>(
    stream: &mut T,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    if bufs.iter().map(|buf| buf.len()).sum::<usize>() > SMALL {
        return stream.poll_write_vectored(cx, bufs);
    }
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        bufs.iter().for_each(|buf| buffer.extend_from_slice(buf));
        stream.poll_write(cx, buffer)
    })
}
