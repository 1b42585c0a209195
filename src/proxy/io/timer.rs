//! Deadlines that cost almost nothing while none passes.
//!
//! # Time without timers
//!
//! A request costs no timer operation. Entering a timer into the runtime's wheel and taking it out again costs more
//! than all other bookkeeping of a request, so the runtime's timer stays where it was armed once: when it fires
//! before the deadline that is in force by then, it goes back to sleep until that. A connection has one for all of
//! its life.

use std::future::Future;
use std::ops::DerefMut;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that moves often, on a runtime timer that moves only when it fires, or when the deadline moves forward
/// past it. `P` holds the timer: a box, or a reference to where it is pinned.
#[derive(Debug)]
pub(crate) struct LazyTimer<P = Box<Sleep>> {
    sleep: Pin<P>,
    deadline: Instant,
}

impl LazyTimer {
    /// A timer on the heap whose deadline is `after` from now.
    pub(crate) fn new(after: Duration) -> Self {
        Self::from_sleep(Box::pin(sleep_until(deadline(after))))
    }
}

impl<P: DerefMut<Target = Sleep>> LazyTimer<P> {
    /// On `sleep`, whose deadline it takes over.
    pub(crate) fn from_sleep(sleep: Pin<P>) -> Self {
        let deadline = sleep.deadline();
        Self { sleep, deadline }
    }

    /// Moves the deadline to `after` from now.
    pub(crate) fn restart(&mut self, after: Duration) {
        self.deadline = deadline(after);
        if self.deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.deadline);
        }
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}

/// `after` from now; in a year where that is past the end of time, which is as good as never.
fn deadline(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or_else(|| now + Duration::from_secs(365 * 86400))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use tokio::time::{advance, sleep};

    #[tokio::test(start_paused = true)]
    async fn the_deadline_in_force_counts_whichever_way_it_moved() {
        for (first, then, expected) in [(1000, 5000, 5000), (5000, 1000, 1000), (1000, 1000, 1000)] {
            let start = Instant::now();
            let mut timer = LazyTimer::new(Duration::from_millis(first));
            timer.restart(Duration::from_millis(then));
            poll_fn(|cx| timer.poll(cx)).await;
            assert_eq!(start.elapsed(), Duration::from_millis(expected), "{first}, then {then}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_back_leaves_the_runtime_timer_where_it_is() {
        let sleep = pin!(sleep(Duration::from_secs(1)));
        let mut timer = LazyTimer::from_sleep(sleep);
        let armed = timer.sleep.deadline();
        for _ in 0..100 {
            advance(Duration::from_millis(5)).await;
            timer.restart(Duration::from_secs(1));
        }
        assert_eq!(timer.sleep.deadline(), armed);
        let start = Instant::now();
        poll_fn(|cx| timer.poll(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        // It can be used again once it has fired.
        timer.restart(Duration::from_secs(2));
        poll_fn(|cx| timer.poll(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_past_the_end_of_time_does_not_panic() {
        let mut timer = LazyTimer::new(Duration::MAX);
        timer.restart(Duration::MAX);
        assert!(timer.poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    }
}
