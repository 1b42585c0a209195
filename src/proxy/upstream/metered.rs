//! An upstream's stream that counts the bytes that pass.

use super::statistics::WorkerStatistics;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream, and where its bytes are counted. Probes are not counted.
#[derive(Debug)]
pub(crate) struct MeteredStream<S> {
    stream: S,
    statistics: Option<Arc<WorkerStatistics>>,
}

impl<S> MeteredStream<S> {
    pub(crate) fn new(stream: S, statistics: Option<Arc<WorkerStatistics>>) -> Self {
        Self { stream, statistics }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    pub(crate) fn statistics(&self) -> Option<&Arc<WorkerStatistics>> {
        self.statistics.as_ref()
    }

    fn count_sent(&self, written: io::Result<usize>) -> io::Result<usize> {
        if let (Some(statistics), Ok(written)) = (&self.statistics, &written) {
            statistics.sent(*written);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if let Some(statistics) = &self.statistics {
            statistics.received(buffer.filled().len() - before);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeteredStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes).map(|written| self.count_sent(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices).map(|written| self.count_sent(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
