//! One connection to an upstream, driven by the exchange that uses it.
//!
//! There is no task behind it: the future that waits for the response writes the request and reads the head, then the
//! response's body reads on, and between exchanges the pool keeps it. The request's body stays with the caller, which
//! lends it to every call: a connection does not know its client.

use super::UpstreamStream;
use super::error::{BodyError, ConnectError, ExchangeError, UploadError};
use super::metered::MeteredStream;
use super::statistics::WorkerStatistics;
use super::transport::Transport;
use super::upload::Upload;
use crate::cluster::Upstream;
use crate::proxy::http1::{Framing, Malformed, Piece, ResponseHead};
use crate::proxy::io::read_buffer;
use crate::proxy::io::timer::LazyTimer;
use crate::proxy::io::write::poll_write_all;
use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// An open connection to an upstream.
pub(crate) struct UpstreamConnection<S = UpstreamStream> {
    stream: MeteredStream<S>,
    upstream: Arc<Upstream>,
    /// Read, and not yet consumed.
    unread: Bytes,
    /// What is to come of the response under way.
    framing: Framing,
    /// The request under way has been written whole.
    is_sent: bool,
    /// A byte has come in this exchange.
    answered: bool,
    /// Writing has failed: the upstream takes no more of the request under way.
    write_closed: bool,
    /// The upstream keeps it open behind the response.
    keep_alive: bool,
    reused: bool,
    timer: LazyTimer,
}

impl<S: Transport> UpstreamConnection<S> {
    /// Connects to the upstream's address, `host:port` or a literal. Bytes are counted in `statistics`, if anywhere.
    pub(crate) async fn connect(
        upstream: Arc<Upstream>,
        statistics: Option<Arc<WorkerStatistics>>,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        match tokio::time::timeout(within, S::connect(upstream.address())).await {
            Ok(Ok(stream)) => Ok(Self::new(stream, upstream, statistics, within)),
            Ok(Err(error)) => Err(ConnectError::Failed(error)),
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    pub(crate) fn new(
        stream: S,
        upstream: Arc<Upstream>,
        statistics: Option<Arc<WorkerStatistics>>,
        within: Duration,
    ) -> Self {
        Self {
            stream: MeteredStream::new(stream, statistics),
            upstream,
            unread: Bytes::new(),
            framing: Framing::NONE,
            is_sent: true,
            answered: false,
            write_closed: false,
            keep_alive: false,
            reused: false,
            timer: LazyTimer::new(within),
        }
    }

    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Where its bytes are counted, if anywhere.
    pub(crate) fn statistics(&self) -> Option<&Arc<WorkerStatistics>> {
        self.stream.statistics()
    }

    /// Whether it has served an exchange before: then the upstream may just have closed it.
    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends a request and waits for the head of its response, up to `within` from the last byte that the client had to
    /// send. `to_head` says that the request is a `HEAD`.
    ///
    /// `upload` is taken once it has been written whole, or once the upstream takes no more of it. After an error it is
    /// whole only where the error is [`ExchangeError::Unsent`].
    pub(crate) async fn exchange<B>(
        &mut self,
        head: &[u8],
        upload: &mut Option<Box<Upload<B>>>,
        to_head: bool,
        within: Duration,
    ) -> Result<ResponseHead, ExchangeError>
    where
        B: Body<Data = Bytes, Error = UploadError> + Unpin,
    {
        (self.is_sent, self.answered) = (false, false);
        // Until a response says otherwise: an exchange that fails leaves the connection useless.
        self.keep_alive = false;
        self.timer.restart(within);
        let (mut sent, mut seen) = (0, frames(upload));
        poll_fn(|cx| {
            if let Err(error) = self.send(cx, head, &mut sent, upload) {
                return Poll::Ready(Err(self.broken(error.into())));
            }
            if sent == 0 && self.write_closed {
                return Poll::Ready(Err(ExchangeError::Unsent));
            }
            match self.poll_head(cx, to_head) {
                Poll::Ready(Ok(response)) => {
                    self.keep_alive = response.keep_alive;
                    self.write_closed |= sent < head.len();
                    self.framing = response.framing;
                    return Poll::Ready(Ok(response));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(error))),
                Poll::Pending => {}
            }
            let taken = frames(upload);
            if std::mem::replace(&mut seen, taken) != taken {
                self.timer.restart(within);
            }
            let client = upload.as_ref().is_some_and(|upload| upload.waits_for_client());
            self.timer.poll(cx).map(|()| Err(ExchangeError::TimedOut { client }))
        })
        .await
    }

    fn broken(&self, error: BodyError) -> ExchangeError {
        ExchangeError::Broken { error, answered: self.answered }
    }

    /// Writes what it can of the head, from `sent` on, and of the body behind it.
    ///
    /// An upstream may respond and close before it has read the whole request: "413 Content Too Large", say. So a write
    /// that fails ends the upload and not the exchange, which ends by what can be read.
    fn send<B>(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        sent: &mut usize,
        upload: &mut Option<Box<Upload<B>>>,
    ) -> Result<(), UploadError>
    where
        B: Body<Data = Bytes, Error = UploadError> + Unpin,
    {
        if self.write_closed || self.is_sent {
            return Ok(());
        }
        let written = match upload {
            Some(upload) => loop {
                upload.fill(cx)?;
                let written = upload.poll_write(cx, &mut self.stream, head, sent);
                // A body that was not polled for want of room would not wake the task.
                if !matches!(written, Poll::Ready(Ok(()))) || upload.is_done() || upload.waits_for_client() {
                    break written;
                }
            },
            None => {
                let mut rest = &head[*sent..];
                let written = poll_write_all(&mut self.stream, cx, &mut rest, |_| {});
                *sent = head.len() - rest.len();
                written
            }
        };
        match written {
            Poll::Ready(Ok(())) if upload.as_ref().is_none_or(|upload| upload.is_done()) => {
                self.is_sent = true;
                *upload = None;
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(upstream = self.upstream.name(), %error, "upstream takes no more");
                self.write_closed = true;
                if *sent > 0 {
                    *upload = None;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads up to the final head. Interim ones (1xx) end here, except for 101.
    fn poll_head(&mut self, cx: &mut Context<'_>, to_head: bool) -> Poll<Result<ResponseHead, BodyError>> {
        loop {
            while !self.unread.is_empty()
                && let Some((head, length)) = ResponseHead::parse(&self.unread, to_head)?
            {
                self.unread.advance(length);
                if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Err(Malformed::Incomplete.into()));
            }
        }
    }

    /// The next frame of the response's body. Goes on sending `upload` meanwhile.
    pub(crate) fn poll_frame<B>(
        &mut self,
        cx: &mut Context<'_>,
        upload: &mut Option<Box<Upload<B>>>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>
    where
        B: Body<Data = Bytes, Error = UploadError> + Unpin,
    {
        let polled = self.poll_piece(cx, upload);
        self.keep_alive &= !matches!(polled, Poll::Ready(Some(Err(_))));
        polled
    }

    fn poll_piece<B>(
        &mut self,
        cx: &mut Context<'_>,
        upload: &mut Option<Box<Upload<B>>>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>
    where
        B: Body<Data = Bytes, Error = UploadError> + Unpin,
    {
        if upload.is_some() {
            // The head has gone: a response to a part of it closes the connection for writing.
            self.send(cx, &[], &mut 0, upload)?;
        }
        loop {
            match self.framing.decode(&mut self.unread)? {
                Piece::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Piece::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Piece::End => return Poll::Ready(None),
                Piece::Starved => {
                    if ready!(self.poll_read(cx))? == 0 {
                        self.framing.close()?;
                    }
                }
            }
        }
    }

    /// Reads once. Yields 0 at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(read_buffer::poll_read(&mut self.stream, cx, &mut self.unread))?;
        self.answered |= count > 0;
        Poll::Ready(Ok(count))
    }

    /// Whether the response's body is complete.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.framing.is_done()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.framing.size_hint()
    }

    pub(crate) fn timer(&mut self) -> &mut LazyTimer {
        &mut self.timer
    }

    /// Whether it is between exchanges and may serve another. Bytes behind the response answer no request: an
    /// upstream that sends them is out of step.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keep_alive && !self.write_closed && self.is_sent && self.framing.is_done() && self.unread.is_empty()
    }

    /// Whether one that was kept is still open, as far as the runtime has been told.
    pub(crate) fn is_still_open(&mut self) -> bool {
        self.reused = true;
        self.stream.get_ref().is_open()
    }

    /// After a 101: the bare stream, and what the upstream sent behind its response.
    pub(crate) fn into_stream(mut self) -> (MeteredStream<S>, Bytes) {
        self.release_buffer();
        (self.stream, self.unread)
    }

    /// Releases the block that was read into, where nothing of it is left.
    pub(crate) fn release_buffer(&mut self) {
        read_buffer::release_if_empty(&mut self.unread);
    }
}

/// How many frames of a request's body have come from the client; 0 where there is none, or no longer.
pub(crate) fn frames<B>(upload: &Option<Box<Upload<B>>>) -> u32 {
    upload.as_ref().map_or(0, |upload| upload.frames)
}

impl<S> std::fmt::Debug for UpstreamConnection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamConnection")
            .field("upstream", &self.upstream.name())
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}
