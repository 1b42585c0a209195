//! One connection to an upstream, driven by whoever uses it.
//!
//! There is no task behind it: the future that waits for the response writes the request and reads the head, then
//! the response's body reads on, and between exchanges nobody has to. The pool only wants to know, when it hands a
//! connection out, whether it is still open.

use super::metered::Counted;
use super::statistics::Cell;
use super::upload::{Upload, UploadError};
use crate::cluster::Upstream;
use crate::proxy::exchange::body::BodyError;
use crate::proxy::http1::{Framing, Malformed, Piece, ResponseHead};
use crate::proxy::io::read_buffer;
use crate::proxy::io::timer::LazyTimer;
use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Why a connection could not be made.
#[derive(Debug)]
pub(crate) enum ConnectError {
    TimedOut,
    Failed(io::Error),
}

/// Why an exchange brought no response.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// Nothing of it was sent: here is the body again.
    Unsent(Option<Box<Upload>>),
    /// It was, at least in part, and then the connection broke off.
    Broken {
        error: BodyError,
        /// Whether a byte of a response came. Until then, an idempotent request may be sent again elsewhere.
        answered: bool,
    },
    /// Nothing came in time.
    TimedOut {
        /// It was the client's turn: its request is not complete.
        client: bool,
    },
}

/// An open connection to an upstream.
pub(crate) struct Conn {
    stream: Counted,
    upstream: Arc<Upstream>,
    /// Read, and not yet taken.
    input: Bytes,
    /// What is to come of the response under way.
    framing: Framing,
    /// What is to go of the request under way.
    upload: Option<Box<Upload>>,
    /// It has said something in this exchange.
    answered: bool,
    /// It takes no more of the request under way.
    deaf: bool,
    /// The upstream keeps it open behind the response.
    keep_alive: bool,
    reused: bool,
    timer: LazyTimer,
}

impl Conn {
    /// Connects to the upstream's address, `host:port` or a literal. What passes is counted in `cell`, if anywhere.
    pub(crate) async fn connect(
        upstream: Arc<Upstream>,
        cell: Option<Arc<Cell>>,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        let stream = match tokio::time::timeout(within, TcpStream::connect(upstream.address())).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(ConnectError::Failed(error)),
            Err(_) => return Err(ConnectError::TimedOut),
        };
        // A proxy writes whole messages; waiting for more of them only adds delay.
        stream.set_nodelay(true).map_err(ConnectError::Failed)?;
        Ok(Self {
            stream: Counted::new(stream, cell),
            upstream,
            input: Bytes::new(),
            framing: Framing::NONE,
            upload: None,
            answered: false,
            deaf: false,
            keep_alive: true,
            reused: false,
            timer: LazyTimer::new(within),
        })
    }

    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Where what passes is counted, if anywhere.
    pub(crate) fn cell(&self) -> Option<&Arc<Cell>> {
        self.stream.cell()
    }

    /// Whether it has served an exchange before: then the upstream may just have closed it.
    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends a request and waits for the head of its response, up to `within` from the last byte that the client
    /// had to send. `to_head` says that the request is a `HEAD`.
    pub(crate) async fn exchange(
        &mut self,
        head: &[u8],
        upload: Option<Box<Upload>>,
        to_head: bool,
        within: Duration,
    ) -> Result<ResponseHead, ExchangeError> {
        self.upload = upload;
        self.answered = false;
        self.timer.restart(within);
        let (mut sent, mut seen) = (0, self.uploaded());
        poll_fn(|cx| {
            if let Err(error) = self.send(cx, head, &mut sent) {
                return Poll::Ready(Err(self.broken(error.into())));
            }
            if sent == 0 && self.deaf {
                return Poll::Ready(Err(ExchangeError::Unsent(self.upload.take())));
            }
            match self.poll_head(cx, to_head) {
                Poll::Ready(Ok(response)) => {
                    self.keep_alive = response.keep_alive;
                    self.deaf |= sent < head.len();
                    self.framing = response.framing;
                    return Poll::Ready(Ok(response));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(error))),
                Poll::Pending => {}
            }
            let uploaded = self.uploaded();
            if std::mem::replace(&mut seen, uploaded) != uploaded {
                self.timer.restart(within);
            }
            let client = self.upload.as_ref().is_some_and(|upload| upload.waits_for_client());
            self.timer.poll(cx).map(|()| Err(ExchangeError::TimedOut { client }))
        })
        .await
    }

    fn broken(&self, error: BodyError) -> ExchangeError {
        ExchangeError::Broken { error, answered: self.answered }
    }

    /// Writes what it can of the head, from `sent` on, and of the body behind it.
    ///
    /// An upstream may answer and hang up before it has read the whole request: "413 Content Too Large", say. So a
    /// write that fails ends the upload and not the exchange, which ends by what can be read.
    fn send(&mut self, cx: &mut Context<'_>, head: &[u8], sent: &mut usize) -> Result<(), UploadError> {
        if self.deaf {
            return Ok(());
        }
        let written = match &mut self.upload {
            Some(upload) => loop {
                upload.fill(cx)?;
                let written = upload.poll_write(cx, &mut self.stream, head, sent);
                // What was not polled for want of room would not wake anybody.
                if !matches!(written, Poll::Ready(Ok(()))) || upload.is_done() || upload.waits_for_client() {
                    break written;
                }
            },
            None if *sent == head.len() => return Ok(()),
            None => write_all(cx, &mut self.stream, head, sent),
        };
        match written {
            Poll::Ready(Ok(())) if self.upload.as_ref().is_some_and(|upload| upload.is_done()) => self.upload = None,
            Poll::Ready(Err(error)) => {
                tracing::debug!(upstream = self.upstream.name(), %error, "upstream takes no more");
                self.deaf = true;
                if *sent > 0 {
                    self.upload = None;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads up to the final head. Interim ones (1xx) end here but for 101.
    fn poll_head(&mut self, cx: &mut Context<'_>, to_head: bool) -> Poll<Result<ResponseHead, BodyError>> {
        loop {
            while !self.input.is_empty()
                && let Some((head, length)) = ResponseHead::parse(&self.input, to_head)?
            {
                self.input.advance(length);
                if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Err(Malformed::Incomplete.into()));
            }
        }
    }

    /// The next frame of the response's body. Goes on sending the request meanwhile.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.poll_piece(cx);
        self.keep_alive &= !matches!(polled, Poll::Ready(Some(Err(_))));
        polled
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.upload.is_some() {
            self.send(cx, &[], &mut 0)?;
        }
        loop {
            match self.framing.decode(&mut self.input)? {
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

    /// Reads once, behind what was read and not taken. 0 at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(read_buffer::poll_read(&mut self.stream, cx, &mut self.input))?;
        self.answered |= count > 0;
        Poll::Ready(Ok(count))
    }

    /// Whether the response's body is whole.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.framing.is_done()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.framing.size_hint()
    }

    /// How many frames of the request have come from the client.
    pub(crate) fn uploaded(&self) -> u32 {
        self.upload.as_ref().map_or(0, |upload| upload.frames)
    }

    pub(crate) fn timer(&mut self) -> &mut LazyTimer {
        &mut self.timer
    }

    /// Whether it is between exchanges and may see another. What came behind the response answers nothing, and whoever
    /// sent it cannot be followed any more.
    pub(crate) fn is_free(&self) -> bool {
        self.keep_alive && !self.deaf && self.framing.is_done() && self.upload.is_none() && self.input.is_empty()
    }

    /// Whether one that lay in the pool is still open. Sees what the runtime has noticed: a close that is still on
    /// its way shows only at the next use.
    pub(crate) fn is_still_open(&mut self) -> bool {
        self.reused = true;
        matches!(self.stream.stream().try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// After a 101: the bare stream, and what the upstream sent behind its response.
    pub(crate) fn into_stream(mut self) -> (Counted, Bytes) {
        self.rest();
        (self.stream, self.input)
    }

    /// Lets go of the block that was read into, where nothing of it is left.
    pub(crate) fn rest(&mut self) {
        read_buffer::release_if_empty(&mut self.input);
    }
}

fn write_all(cx: &mut Context<'_>, stream: &mut Counted, head: &[u8], sent: &mut usize) -> Poll<io::Result<()>> {
    while *sent < head.len() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, &head[*sent..]))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => *sent += written,
        }
    }
    Poll::Ready(Ok(()))
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("upstream", &self.upstream.name())
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}
