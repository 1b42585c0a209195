//! Bodies on their way through, frame by frame: never collected, never copied.

use super::access_log::AccessLog;
use super::client::ExchangeMark;
use super::conn::Conn;
use super::headers::filter_trailers;
use crate::cluster::Lease;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The other side broke off or sent what is not HTTP.
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
    /// Nothing came for the idle timeout.
    #[error("the upstream sent nothing for the idle timeout")]
    Idle,
}

/// A request body on its way to the upstream.
#[derive(Debug)]
pub(super) struct RequestBody {
    incoming: Option<Incoming>,
    progress: Option<Arc<UploadProgress>>,
}

/// How far an upload has come, for whoever waits for the answer to it.
#[derive(Debug, Default)]
pub(super) struct UploadProgress {
    frames: AtomicU32,
    waits: AtomicBool,
}

impl UploadProgress {
    /// How many frames have gone to the upstream.
    pub(super) fn frames(&self) -> u32 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Whether it is the client who has to go on.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming) -> Self {
        match incoming.is_end_stream() {
            true => Self::empty(),
            false => Self { incoming: Some(incoming), progress: Some(Arc::default()) },
        }
    }

    pub(super) const fn empty() -> Self {
        Self { incoming: None, progress: None }
    }

    pub(super) fn progress(&self) -> Option<Arc<UploadProgress>> {
        self.progress.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        if let Some(progress) = &self.progress {
            progress.frames.fetch_add(u32::from(polled.is_ready()), Ordering::Relaxed);
            progress.waits.store(polled.is_pending(), Ordering::Relaxed);
        }
        let frame = ready!(polled);
        Poll::Ready(frame.map(|frame| frame.map(checked)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

fn checked(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            filter_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// A response body: the upstream's, or a line of the proxy's own.
#[derive(Debug)]
pub struct ResponseBody(Kind);

#[derive(Debug)]
enum Kind {
    Text(Option<Bytes>),
    Upstream(Incoming, Tail),
}

impl ResponseBody {
    pub(super) fn text(text: &'static str) -> Self {
        Self(Kind::Text((!text.is_empty()).then(|| Bytes::from_static(text.as_bytes()))))
    }

    pub(super) fn upstream(incoming: Incoming, tail: Tail) -> Self {
        Self(Kind::Upstream(incoming, tail))
    }
}

/// What an exchange holds until the last byte of its response has passed.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) conn: Option<Box<Conn>>,
    pub(super) log: AccessLog,
    /// The timer runs for the frame that is waited for.
    pub(super) timed: bool,
    pub(super) _lease: Lease,
    pub(super) mark: ExchangeMark,
}

impl Tail {
    /// The response has come whole: the connection is free for the next exchange, if the request has gone whole.
    fn complete(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.mark.client().shared.pool.put(conn);
        }
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        // hyper drops a body of known length right after its last byte, without asking for the end.
        if let Self::Upstream(incoming, tail) = self
            && incoming.is_end_stream()
        {
            tail.complete();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (incoming, tail) = match &mut self.0 {
            Kind::Text(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Upstream(incoming, tail) => (incoming, tail),
        };
        let mut polled = Pin::new(&mut *incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some(conn) = &mut tail.conn
        {
            conn.drive(cx);
            polled = Pin::new(&mut *incoming).poll_frame(cx);
            if polled.is_pending() {
                if !std::mem::replace(&mut tail.timed, true) {
                    conn.timer().restart(tail.mark.client().shared.timeouts.idle);
                }
                return match conn.timer().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Idle))),
                    Poll::Pending => Poll::Pending,
                };
            }
        }
        tail.timed = false;
        Poll::Ready(match ready!(polled) {
            Some(Ok(frame)) => {
                let frame = checked(frame);
                if let Some(data) = frame.data_ref() {
                    tail.log.sent(data.len());
                }
                if incoming.is_end_stream() {
                    tail.complete();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => {
                tail.complete();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_none(),
            Kind::Upstream(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Kind::Upstream(incoming, _) => incoming.size_hint(),
        }
    }
}
