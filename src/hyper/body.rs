//! Bodies on their way through, frame by frame: never collected, never copied.

use super::access_log::AccessLog;
use super::client::{Client, ExchangeMark};
use super::conn::Conn;
use super::headers::filter_trailers;
use crate::cluster::Lease;
use bytes::Bytes;
use http::Version;
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
pub(super) struct RequestBody(Option<Upload>);

#[derive(Debug)]
struct Upload {
    incoming: Incoming,
    progress: Arc<UploadProgress>,
    client: Arc<Client>,
    /// An HTTP/2 client may reset a stream "without error", and hyper shows that as the end of the body.
    may_be_reset: bool,
}

/// Why an upload broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
    #[error("the client reset the stream before the end of the body")]
    Reset,
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
    pub(super) fn new(incoming: Incoming, received: Version, client: &Arc<Client>) -> Self {
        let may_be_reset = received == Version::HTTP_2;
        Self((!incoming.is_end_stream()).then(|| Upload {
            incoming,
            progress: Arc::default(),
            client: Arc::clone(client),
            may_be_reset,
        }))
    }

    pub(super) const fn empty() -> Self {
        Self(None)
    }

    pub(super) fn progress(&self) -> Option<Arc<UploadProgress>> {
        self.0.as_ref().map(|upload| Arc::clone(&upload.progress))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.incoming.is_end_stream() {
            self.client.activity.note_unread();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(upload) = &mut self.0 else { return Poll::Ready(None) };
        let polled = Pin::new(&mut upload.incoming).poll_frame(cx);
        upload.progress.frames.fetch_add(u32::from(polled.is_ready()), Ordering::Relaxed);
        upload.progress.waits.store(polled.is_pending(), Ordering::Relaxed);
        Poll::Ready(match ready!(polled) {
            Some(frame) => Some(frame.map(checked).map_err(UploadError::from)),
            None if upload.may_be_reset && !upload.incoming.is_end_stream() => Some(Err(UploadError::Reset)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|upload| upload.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |upload| upload.incoming.size_hint())
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
    /// The request, where it is still on its way, and how far it was.
    pub(super) upload: Option<Arc<UploadProgress>>,
    pub(super) uploaded: u32,
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
                // Time runs anew for each frame that is waited for, and while the request still moves.
                let uploaded = tail.upload.as_ref().map_or(0, |upload| upload.frames());
                let moved = std::mem::replace(&mut tail.uploaded, uploaded) != uploaded;
                if !std::mem::replace(&mut tail.timed, true) || moved {
                    conn.timer().restart(tail.mark.client().shared.timeouts.idle);
                }
                return conn.timer().poll(cx).map(|()| Some(Err(BodyError::Idle)));
            }
        }
        tail.timed = false;
        Poll::Ready(match ready!(polled) {
            Some(Ok(frame)) => {
                let frame = checked(frame);
                tail.mark.client().activity.note_frame();
                if let Some(data) = frame.data_ref() {
                    tail.log.sent(data.len());
                }
                // Nothing follows trailers, and hyper does not ask.
                if incoming.is_end_stream() || frame.is_trailers() {
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
