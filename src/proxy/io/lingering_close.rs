//! Lingering close: drains briefly, so that a reset does not destroy the response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// For how long a client may go on sending once its connection has been shut down for writing.
const MAX_LINGER: Duration = Duration::from_secs(2);

/// Reads and discards for a moment after the last byte that was written. A socket that is closed with bytes unread
/// resets its connection (RFC 9112, section 9.6), and the client might never see the response.
#[derive(Debug, Default)]
pub(crate) struct LingeringClose(Option<Pin<Box<Sleep>>>);

impl LingeringClose {
    /// Ready at the end of the stream, when it fails, or after two seconds.
    pub(crate) fn poll<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(MAX_LINGER)));
        if sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}
