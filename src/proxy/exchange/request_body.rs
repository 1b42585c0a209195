//! A request's body as it comes from the client.

use super::body_channel::BodyChannel;
use super::client::Client;
use crate::proxy::http1::header_rules::without_forbidden_trailers;
use crate::proxy::upstream::error::UploadError;
use bytes::{Buf, Bytes};
use http::Version;
use http_body::{Body, Frame, SizeHint};
use std::error::Error;
use std::fmt;
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
    /// A server that calls the proxy's service.
    Server {
        body: Pin<Box<dyn ServerBody>>,
        /// An HTTP/2 client may reset a stream "without error", and hyper shows that as the end of the body.
        may_be_reset: bool,
    },
}

/// A body of any type, with its data and its errors as the proxy has them.
trait ServerBody: Send {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>>;
    fn has_ended(&self) -> bool;
    fn size(&self) -> SizeHint;
}

impl<B> ServerBody for B
where
    B: Body + Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        Poll::Ready(ready!(Body::poll_frame(self, cx)).map(|frame| match frame {
            // Costs nothing where the data is `Bytes` already.
            Ok(frame) => Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))),
            Err(error) => Err(UploadError::Server(error.into())),
        }))
    }

    fn has_ended(&self) -> bool {
        Body::is_end_stream(self)
    }

    fn size(&self) -> SizeHint {
        Body::size_hint(self)
    }
}

impl fmt::Debug for dyn ServerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBody").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl RequestBody {
    /// `None` where the request has no body. Allocates otherwise.
    pub(crate) fn from_server<B>(body: B, received: Version, client: &Arc<Client>) -> Option<Self>
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if body.is_end_stream() {
            return None;
        }
        let source = BodySource::Server { body: Box::pin(body), may_be_reset: received == Version::HTTP_2 };
        Some(Self { source, client: Arc::clone(client) })
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
            BodySource::Server { body, may_be_reset } => match ready!(body.as_mut().poll(cx)) {
                None if *may_be_reset && !body.has_ended() => Some(Err(UploadError::Reset)),
                frame => frame,
            },
        };
        Poll::Ready(frame.map(|frame| frame.map(without_forbidden_trailers)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            BodySource::Channel(channel) => channel.is_complete(),
            BodySource::Server { body, .. } => body.has_ended(),
        }
    }

    /// Exact where the client said how long it is.
    fn size_hint(&self) -> SizeHint {
        match &self.source {
            BodySource::Channel(channel) => channel.size_hint(),
            BodySource::Server { body, .. } => body.size(),
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
