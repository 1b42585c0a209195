//! `GET /api/v1/events`.

use super::event_stream::EventStream;
use crate::admin::api::body::AdminBody;
use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::context::AdminContext;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::sync::Arc;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// A stream of events: those behind the client's `Last-Event-ID`, or all that are kept.
pub(crate) fn open(context: &AdminContext, headers: &HeaderMap) -> Result<Response<AdminBody>, Problem> {
    let permit = Arc::clone(&context.streams).try_acquire_owned().map_err(|_| {
        let detail = "too many streams of events are open; close one of them";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "streams", detail)
    })?;
    let id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = id.and_then(|id| context.feed.number(id)).unwrap_or_default();
    let stream = EventStream::new(Arc::clone(&context.feed), after, permit);
    Ok(reply::reply(StatusCode::OK, EVENT_STREAM, AdminBody::events(stream)))
}
