//! The feed as server-sent events: a body that does not end.

use super::feed::Feed;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often the feed is polled.
const POLL: Duration = Duration::from_millis(250);

/// A comment is sent after so long without an event, so that both ends notice a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(crate) struct EventStream {
    feed: Arc<Feed>,
    /// The number of the last event that was sent.
    after: u64,
    has_begun: bool,
    polls: Interval,
    last_sent: Instant,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("after", &self.after).finish_non_exhaustive()
    }
}

impl EventStream {
    /// The events behind number `after`. Holds `permit` for as long as it lives.
    pub(crate) fn new(feed: Arc<Feed>, after: u64, permit: OwnedSemaphorePermit) -> Self {
        let mut polls = interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { feed, after, has_begun: false, polls, last_sent: Instant::now(), _permit: permit }
    }

    /// The next chunk. It is polled only once the last was written, so a slow client costs no more memory than one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Poll::Ready(Bytes::from_static(b"retry: 2000\n\n"));
        }
        loop {
            ready!(self.polls.poll_tick(cx));
            if let Some(events) = self.feed.after(self.after) {
                self.after = events.last;
                self.last_sent = Instant::now();
                return Poll::Ready(events.text.into());
            }
            if self.last_sent.elapsed() >= HEARTBEAT {
                self.last_sent = Instant::now();
                return Poll::Ready(Bytes::from_static(b":\n\n"));
            }
        }
    }
}
