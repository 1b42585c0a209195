//! Bodies on their way through, frame by frame: never collected.

use super::body_channel::Inbox;
use super::client::{Client, ExchangeMark};
use super::place::Place;
use crate::health::Outcome;
use crate::proxy::access_log::AccessLog;
use crate::proxy::http1::Malformed;
use crate::proxy::http1::header_rules::filter_trailers;
use crate::proxy::upstream::connection::Conn;
use crate::proxy::upstream::upload::UploadError;
use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Why an exchange with an upstream broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The upstream's socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The upstream sent what is not HTTP, or less than it said.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The client broke off its request.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// Nothing came for the idle timeout.
    #[error("the upstream sent nothing for the idle timeout")]
    Idle,
}

/// The body of a request as it comes from the client.
#[derive(Debug)]
pub(crate) struct RequestBody {
    source: Source,
    client: Arc<Client>,
}

#[derive(Debug)]
enum Source {
    Own(Inbox),
    Hyper {
        incoming: Incoming,
        /// An HTTP/2 client may reset a stream "without error", and hyper shows that as the end of the body.
        may_be_reset: bool,
    },
}

impl RequestBody {
    /// `None` where the request has no body.
    pub(crate) fn of_hyper(incoming: Incoming, received: Version, client: &Arc<Client>) -> Option<Self> {
        let source = Source::Hyper { incoming, may_be_reset: received == Version::HTTP_2 };
        let body = Self { source, client: Arc::clone(client) };
        (!body.is_whole()).then_some(body)
    }

    pub(crate) fn of(inbox: Inbox, client: &Arc<Client>) -> Self {
        Self { source: Source::Own(inbox), client: Arc::clone(client) }
    }

    /// How long it is, where the client said so.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.source {
            Source::Own(inbox) => inbox.size_hint().exact(),
            Source::Hyper { incoming, .. } => incoming.size_hint().exact(),
        }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let frame = match &mut self.source {
            Source::Own(inbox) => ready!(inbox.poll_frame()),
            Source::Hyper { incoming, may_be_reset } => match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                None if *may_be_reset && !incoming.is_end_stream() => Some(Err(UploadError::Reset)),
                frame => frame.map(|frame| frame.map_err(UploadError::from)),
            },
        };
        Poll::Ready(frame.map(|frame| frame.map(checked)))
    }

    fn is_whole(&self) -> bool {
        match &self.source {
            Source::Own(inbox) => inbox.is_whole(),
            Source::Hyper { incoming, .. } => incoming.is_end_stream(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.is_whole() {
            self.client.activity.note_unread();
        }
        if let Source::Own(inbox) = &self.source {
            inbox.leave();
        }
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
    Upstream(Tail),
}

impl ResponseBody {
    pub(crate) fn text(text: &'static str) -> Self {
        Self(Kind::Text((!text.is_empty()).then(|| Bytes::from_static(text.as_bytes()))))
    }

    pub(crate) fn upstream(tail: Tail) -> Self {
        Self(Kind::Upstream(tail))
    }
}

/// What an exchange holds until the last byte of its response has passed.
#[derive(Debug)]
pub(crate) struct Tail {
    /// `None` once the response has come whole.
    pub(crate) conn: Option<Box<Conn>>,
    pub(crate) log: AccessLog,
    /// The timer runs for the frame that is waited for.
    pub(crate) timed: bool,
    /// How far the request was, where it is still on its way.
    pub(crate) uploaded: u32,
    pub(crate) _lease: Place,
    pub(crate) mark: ExchangeMark,
}

impl Tail {
    /// Gives the connection back for the next exchange once the response has come whole, if the request has gone whole.
    fn release_if_done(&mut self) {
        if let Some(conn) = self.conn.take_if(|conn| conn.is_end_stream()) {
            self.mark.client().shared.pool.put(conn);
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(conn) = &mut self.conn else { return Poll::Ready(None) };
        let Poll::Ready(polled) = conn.poll_frame(cx) else {
            // Time runs anew for each frame that is waited for, and while the request still moves.
            let uploaded = conn.uploaded();
            let moved = std::mem::replace(&mut self.uploaded, uploaded) != uploaded;
            if !std::mem::replace(&mut self.timed, true) || moved {
                conn.timer().restart(self.mark.client().settings.timeouts.idle);
            }
            return conn.timer().poll(cx).map(|()| Some(Err(BodyError::Idle)));
        };
        self.timed = false;
        let frame = match polled {
            Some(Ok(frame)) => checked(frame),
            Some(Err(error)) => {
                // Silence is not reported: whoever streams events has nothing to say for long.
                if !matches!(error, BodyError::Upload(_)) {
                    self.mark.client().shared.report(conn.upstream(), Outcome::Broken);
                }
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                self.release_if_done();
                return Poll::Ready(None);
            }
        };
        self.mark.client().activity.note_frame();
        if let Some(data) = frame.data_ref() {
            self.log.sent(data.len());
        }
        self.release_if_done();
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // hyper drops a body of known length right after its last byte, or at once if it is empty, without asking
        // for the end.
        self.release_if_done();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Upstream(tail) => tail.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_none(),
            Kind::Upstream(tail) => tail.conn.as_ref().is_none_or(|conn| conn.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Kind::Upstream(tail) => tail.conn.as_ref().map_or(SizeHint::with_exact(0), |conn| conn.size_hint()),
        }
    }
}
