//! When tunnels are to leave their upstreams: known late, changed at will, and told to all that wait.

use crate::proxy::io::timer::LazyTimer;
use crate::time::{Clock, Timestamp};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;

/// Has those who wait for their departure look again for its moment. Shared by all workers of a proxy.
#[derive(Debug, Default)]
pub(crate) struct Departures(Notify);

impl Departures {
    /// Says that moments may have changed: an upstream drains, or no longer.
    pub(crate) fn changed(&self) {
        self.0.notify_waiters();
    }

    /// Completes once the `moment` that is in force has come. It is asked for at first and after every change, and
    /// there is no timer while it is `None`.
    pub(crate) async fn wait(&self, moment: impl Fn() -> Option<Timestamp>, clock: &dyn Clock) {
        loop {
            // Before the question, so that a change after the answer is not missed.
            let mut changed = pin!(self.0.notified());
            let mut timer = match moment() {
                None => None,
                Some(moment) => match moment.as_millis().saturating_sub(clock.now().as_millis()) {
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

    /// Somebody who waits, and what for: milliseconds, 0 for none.
    struct Waiting {
        departures: Arc<Departures>,
        moment: Arc<AtomicU64>,
        left: JoinHandle<Duration>,
    }

    impl Waiting {
        async fn start(moment: u64) -> Self {
            let departures = Arc::new(Departures::default());
            let moment = Arc::new(AtomicU64::new(moment));
            let (waited, asked) = (Arc::clone(&departures), Arc::clone(&moment));
            let left = tokio::spawn(async move {
                let start = Instant::now();
                let moment = || Some(asked.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Timestamp::from_millis);
                waited.wait(moment, &Running(start)).await;
                start.elapsed()
            });
            // Has it ask for the first time.
            tokio::task::yield_now().await;
            Self { departures, moment, left }
        }

        /// At `at` milliseconds, the moment becomes `moment`.
        async fn change(&self, at: u64, moment: u64) {
            tokio::time::sleep(Duration::from_millis(at)).await;
            self.moment.store(moment, Ordering::Relaxed);
            self.departures.changed();
        }

        async fn left(self) -> u64 {
            // A moment that never comes is noticed: nothing else wakes the runtime then.
            let left = tokio::time::timeout(Duration::from_secs(3600), self.left).await;
            left.expect("it leaves at last").expect("no panic").as_millis() as u64
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_moment_in_force_is_the_one_that_counts() {
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
    async fn without_a_moment_there_is_nothing_to_wake_for() {
        let waiting = Waiting::start(0).await;
        waiting.change(1000, 0).await;
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert!(!waiting.left.is_finished());
        waiting.left.abort();
    }

    #[tokio::test]
    async fn a_change_between_question_and_wait_is_not_missed() {
        let departures = Departures::default();
        let asked = AtomicU64::new(0);
        let moment = || match asked.fetch_add(1, Ordering::Relaxed) {
            0 => {
                departures.changed();
                None
            }
            _ => Some(Timestamp::default()),
        };
        departures.wait(moment, &FakeClock::default()).await;
        assert_eq!(asked.into_inner(), 2);
    }
}
