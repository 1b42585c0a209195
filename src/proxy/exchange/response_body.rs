//! A response's body on its way to the client, frame by frame: never collected.

use super::client::ExchangeMark;
use super::request_body::RequestBody;
use crate::cluster::Lease;
use crate::health::Outcome;
use crate::proxy::access_log::AccessLog;
use crate::proxy::http1::header_rules::without_forbidden_trailers;
use crate::proxy::upstream::connection::{UpstreamConnection, frames};
use crate::proxy::upstream::error::BodyError;
use crate::proxy::upstream::upload::Upload;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response body: the upstream's, or the text of a local reply.
#[derive(Debug)]
pub struct ResponseBody(Source);

#[derive(Debug)]
enum Source {
    Text(Option<Bytes>),
    Upstream(UpstreamBody),
}

impl ResponseBody {
    pub(crate) fn text(text: &'static str) -> Self {
        Self(Source::Text((!text.is_empty()).then(|| Bytes::from_static(text.as_bytes()))))
    }

    pub(crate) fn upstream(body: UpstreamBody) -> Self {
        Self(Source::Upstream(body))
    }
}

/// Everything that an exchange holds until the last byte of its response has passed: the connection, what is left of
/// the request, the lease.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    /// `None` once the response is complete.
    connection: Option<Box<UpstreamConnection>>,
    /// What is still to be sent of the request.
    upload: Option<Box<Upload<RequestBody>>>,
    log: AccessLog,
    /// The idle timer runs for the frame that is awaited.
    timed: bool,
    /// How many frames of the request had come when the timer was restarted.
    uploaded: u32,
    _lease: Lease,
    mark: ExchangeMark,
}

impl UpstreamBody {
    pub(crate) fn new(
        connection: Box<UpstreamConnection>,
        upload: Option<Box<Upload<RequestBody>>>,
        log: AccessLog,
        lease: Lease,
        mark: ExchangeMark,
    ) -> Self {
        let uploaded = frames(&upload);
        Self { connection: Some(connection), upload, log, timed: false, uploaded, _lease: lease, mark }
    }

    /// Once the response is complete, gives the connection back for the next exchange, if the request was sent whole
    /// too.
    fn release_if_done(&mut self) {
        if let Some(connection) = self.connection.take_if(|connection| connection.is_end_stream()) {
            self.mark.client().worker.pool.put(connection);
            self.upload = None;
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        let Poll::Ready(polled) = connection.poll_frame(cx, &mut self.upload) else {
            // The timer restarts for each frame that is awaited, and while the request still moves.
            let uploaded = frames(&self.upload);
            let moved = std::mem::replace(&mut self.uploaded, uploaded) != uploaded;
            if !std::mem::replace(&mut self.timed, true) || moved {
                connection.timer().restart(self.mark.client().settings.timeouts.idle);
            }
            return connection.timer().poll(cx).map(|()| Some(Err(BodyError::Idle)));
        };
        self.timed = false;
        let frame = match polled {
            Some(Ok(frame)) => without_forbidden_trailers(frame),
            Some(Err(error)) => {
                // Silence is no outcome: a stream of events may have none for long.
                if !matches!(error, BodyError::Upload(_)) {
                    self.mark.client().worker.report(connection.upstream(), Outcome::Broken);
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

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // hyper drops a body of known length right after its last byte, or at once if it is empty, without polling
        // for the end.
        self.release_if_done();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Source::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Source::Upstream(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Text(text) => text.is_none(),
            Source::Upstream(body) => body.connection.as_ref().is_none_or(|connection| connection.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Source::Upstream(body) => {
                body.connection.as_ref().map_or(SizeHint::with_exact(0), |connection| connection.size_hint())
            }
        }
    }
}
