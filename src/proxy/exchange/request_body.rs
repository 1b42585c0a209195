//! A request's body as it comes from the client.

use super::body_channel::BodyChannel;
use super::client::Client;
use crate::proxy::http1::header_rules::without_forbidden_trailers;
use crate::proxy::upstream::error::UploadError;
use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The body of a request, and the connection on which it comes.
#[derive(Debug)]
pub(crate) struct RequestBody {
    source: BodySource,
    client: Arc<Client>,
}

#[derive(Debug)]
enum BodySource {
    /// HTTP/1.1 served by the proxy itself.
    Channel(BodyChannel),
    Hyper {
        incoming: Incoming,
        /// An HTTP/2 client may reset a stream "without error", and hyper shows that as the end of the body.
        may_be_reset: bool,
    },
}

impl RequestBody {
    /// `None` where the request has no body.
    pub(crate) fn from_hyper(incoming: Incoming, received: Version, client: &Arc<Client>) -> Option<Self> {
        let source = BodySource::Hyper { incoming, may_be_reset: received == Version::HTTP_2 };
        let body = Self { source, client: Arc::clone(client) };
        (!body.is_end_stream()).then_some(body)
    }

    pub(crate) fn from_channel(channel: BodyChannel, client: &Arc<Client>) -> Self {
        Self { source: BodySource::Channel(channel), client: Arc::clone(client) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let frame = match &mut self.source {
            BodySource::Channel(channel) => ready!(channel.poll_frame()),
            BodySource::Hyper { incoming, may_be_reset } => match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                None if *may_be_reset && !incoming.is_end_stream() => Some(Err(UploadError::Reset)),
                frame => frame.map(|frame| frame.map_err(UploadError::from)),
            },
        };
        Poll::Ready(frame.map(|frame| frame.map(without_forbidden_trailers)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            BodySource::Channel(channel) => channel.is_complete(),
            BodySource::Hyper { incoming, .. } => incoming.is_end_stream(),
        }
    }

    /// Exact where the client said how long it is.
    fn size_hint(&self) -> SizeHint {
        match &self.source {
            BodySource::Channel(channel) => channel.size_hint(),
            BodySource::Hyper { incoming, .. } => incoming.size_hint(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            self.client.activity.note_unread();
        }
        if let BodySource::Channel(channel) = &self.source {
            channel.drop_receiver();
        }
    }
}
