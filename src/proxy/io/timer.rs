//! Timeouts that cost almost nothing while nothing times out.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A deadline that moves with every request, on a timer that moves only when it fires.
///
/// Entering a timer into the runtime's wheel and taking it out again costs more than all bookkeeping of a
/// request. So the sleep stays where it was armed once; when it fires before the deadline that is in force by
/// then, it goes back to sleep until that.
#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
}

impl Timer {
    pub(crate) fn new(after: Duration) -> Self {
        let due = deadline(after);
        Self { sleep: Box::pin(tokio::time::sleep_until(due)), due }
    }

    /// Moves the deadline to `after` from now.
    pub(crate) fn restart(&mut self, after: Duration) {
        self.due = deadline(after);
        if self.due < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.due);
        }
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline() >= self.due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.due);
        }
        Poll::Pending
    }
}

fn deadline(after: Duration) -> Instant {
    let now = Instant::now();
    // What cannot be added lies past the end of time; a year is as good as never.
    now.checked_add(after).unwrap_or_else(|| now + Duration::from_secs(365 * 86400))
}
