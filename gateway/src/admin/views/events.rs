//! Server-sent events: the feed as a body that does not end.

use crate::admin::api::body::AdminBody;
use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::builder::AdminContext;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often the feed is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// After so much silence a comment shows both ends that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// A stream of events for whoever sent these fields: from the last one they have heard of, or all that are kept.
pub(crate) fn open(shared: &Arc<AdminContext>, headers: &HeaderMap) -> Result<Response<AdminBody>, Problem> {
    let permit = Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
        let detail = "too many streams of events are open; close one of them";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "streams", detail)
    })?;
    let id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = id.and_then(|id| shared.feed.number(id)).unwrap_or_default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = EventStream {
        shared: Arc::clone(shared),
        after,
        greeted: false,
        looks,
        spoken: Instant::now(),
        _permit: permit,
    };
    Ok(reply::reply(StatusCode::OK, EVENT_STREAM, AdminBody::events(stream)))
}

pub(crate) struct EventStream {
    shared: Arc<AdminContext>,
    /// The number of the last event that was sent.
    after: u64,
    greeted: bool,
    looks: Interval,
    /// When anything was sent last.
    spoken: Instant,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("after", &self.after).finish_non_exhaustive()
    }
}

impl EventStream {
    /// The next piece. It is asked for only when the last has gone, so a slow reader holds no more than that.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Poll::Ready(Bytes::from_static(b"retry: 2000\n\n"));
        }
        loop {
            ready!(self.looks.poll_tick(cx));
            if let Some(news) = self.shared.feed.after(self.after) {
                self.after = news.last;
                self.spoken = Instant::now();
                return Poll::Ready(news.text.into());
            }
            if self.spoken.elapsed() >= HEARTBEAT {
                self.spoken = Instant::now();
                return Poll::Ready(Bytes::from_static(b":\n\n"));
            }
        }
    }
}
