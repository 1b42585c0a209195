//! Tells tunnels that drain deadlines have changed.
//!
//! When a session has to leave a draining upstream is known late and changes at an operator's will. A tunnel may live
//! for hours before, so it waits without a timer until there is a deadline.

use crate::proxy::io::timer::LazyTimer;
use crate::time::{Clock, Timestamp};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;

/// Makes all that wait read their drain deadline again. Shared by all workers of a proxy.
#[derive(Debug, Default)]
pub(crate) struct DrainNotification(Notify);

impl DrainNotification {
    /// Announces that deadlines may have changed: an upstream drains, or no longer.
    pub(crate) fn changed(&self) {
        self.0.notify_waiters();
    }

    /// Completes once the deadline in force has passed. `deadline` is read at first and after every change; there is
    /// no timer while it is `None`.
    pub(crate) async fn wait(&self, deadline: impl Fn() -> Option<Timestamp>, clock: &dyn Clock) {
        loop {
            // Registered before the deadline is read, so that a change after that is not missed.
            let mut changed = pin!(self.0.notified());
            let mut timer = match deadline() {
                None => None,
                Some(deadline) => match deadline.as_millis().saturating_sub(clock.now().as_millis()) {
                    0 => return,
                    left => Some(LazyTimer::new(Duration::from_millis(left))),
                },
            };
            poll_fn(|cx| match &mut timer {
                _ if changed.as_mut().poll(cx).is_ready() => Poll::Ready(()),
                Some(timer) => timer.poll(cx),
                None => Poll::Pending,
            })
            .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::FakeClock;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    /// Shows the runtime's time, which is paused.
    #[derive(Debug)]
    struct Running(Instant);

    impl Clock for Running {
        fn now(&self) -> Timestamp {
            Timestamp::default().after(self.0.elapsed())
        }
    }

    /// A task that waits, and its deadline: milliseconds, 0 for none.
    struct Waiting {
        notification: Arc<DrainNotification>,
        moment: Arc<AtomicU64>,
        left: JoinHandle<Duration>,
    }

    impl Waiting {
        async fn start(moment: u64) -> Self {
            let notification = Arc::new(DrainNotification::default());
            let moment = Arc::new(AtomicU64::new(moment));
            let (waited, asked) = (Arc::clone(&notification), Arc::clone(&moment));
            let left = tokio::spawn(async move {
                let start = Instant::now();
                let moment = || Some(asked.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Timestamp::from_millis);
                waited.wait(moment, &Running(start)).await;
                start.elapsed()
            });
            // Lets it read its deadline for the first time.
            tokio::task::yield_now().await;
            Self { notification, moment, left }
        }

        /// After `at` milliseconds, the deadline becomes `moment`.
        async fn change(&self, at: u64, moment: u64) {
            tokio::time::sleep(Duration::from_millis(at)).await;
            self.moment.store(moment, Ordering::Relaxed);
            self.notification.changed();
        }

        async fn left(self) -> u64 {
            // A deadline that is missed is noticed: nothing else wakes the runtime then.
            let left = tokio::time::timeout(Duration::from_secs(3600), self.left).await;
            left.expect("it completes at last").expect("no panic").as_millis() as u64
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_in_force_counts() {
        for (first, changes, expected) in [
            (700, vec![], 700),
            (0, vec![(1000, 5000)], 5000),
            (0, vec![(1000, 400)], 1000),
            (9000, vec![(1000, 3000)], 3000),
            (3000, vec![(1000, 9000)], 9000),
            (3000, vec![(1000, 0), (3000, 6000)], 6000),
            (0, vec![(1000, 0), (1000, 0), (1000, 3500)], 3500),
        ] {
            let waiting = Waiting::start(first).await;
            for (after, moment) in changes {
                waiting.change(after, moment).await;
            }
            let left = waiting.left().await;
            // The wheel turns in whole milliseconds.
            assert!((expected..=expected + 2).contains(&left), "{first}: {left} and not {expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_deadline_there_is_no_timer() {
        let waiting = Waiting::start(0).await;
        waiting.change(1000, 0).await;
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert!(!waiting.left.is_finished());
        waiting.left.abort();
    }

    #[tokio::test]
    async fn a_change_between_reading_the_deadline_and_waiting_is_not_missed() {
        let notification = DrainNotification::default();
        let asked = AtomicU64::new(0);
        let moment = || match asked.fetch_add(1, Ordering::Relaxed) {
            0 => {
                notification.changed();
                None
            }
            _ => Some(Timestamp::default()),
        };
        notification.wait(moment, &FakeClock::default()).await;
        assert_eq!(asked.into_inner(), 2);
    }
}
