//! When tunnels are to leave their upstreams: known late, changed at will, and told to all that wait.

use super::timer::Timer;
use crate::time::{Clock, Timestamp};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;

/// Has those who wait for their departure look again for its moment. Shared by all workers of a proxy.
#[derive(Debug, Default)]
pub(super) struct Departures(Notify);

impl Departures {
    /// Says that moments may have changed: an upstream drains, or no longer.
    #[cfg_attr(not(test), expect(dead_code, reason = "whoever drains an upstream says so; nobody can yet"))]
    pub(super) fn changed(&self) {
        self.0.notify_waiters();
    }

    /// Completes once the `moment` that is in force has come. It is asked for at first and after every change, and
    /// there is no timer while it is `None`.
    pub(super) async fn wait(&self, moment: impl Fn() -> Option<Timestamp>, clock: &dyn Clock) {
        loop {
            // Before the question, so that a change after the answer is not missed.
            let mut changed = pin!(self.0.notified());
            let mut timer = match moment() {
                None => None,
                Some(moment) => match moment.as_millis().saturating_sub(clock.now().as_millis()) {
                    0 => return,
                    left => Some(Timer::new(Duration::from_millis(left))),
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
