//! Requests that wait while upstreams are at their limit: at most so many, each at most so long.
//!
//! Who is woken when a place comes free, and in which order, is for the balancer's [`PlaceWaiter`]s: first come, first
//! served. No lease is handed over: a woken request picks again, and keeps its position if that fails.

#[cfg(test)]
mod tests;

use crate::balancer::{Balancer, PlaceWaiter};
use crate::cluster::{UpstreamId, WaitFor};
use crate::proxy::local_reply::LocalReply;
use crate::proxy::settings::QueueSettings;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How often a request asks again without having been woken: where it waits for no place, and at the head of a list,
/// since time alone may let a session go elsewhere (a drain deadline that passes, a slow start that proceeds).
pub(crate) const RECHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The outcome of asking the balancer.
pub(crate) enum PickOutcome<T> {
    Placed(T, UpstreamId),
    Full(WaitFor),
    RetryAfter(Duration),
    Rejected(LocalReply),
}

/// The bounds of waiting, and how many requests wait.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The most requests that wait at once.
    size: AtomicUsize,
    /// The longest wait, in milliseconds.
    timeout: AtomicU64,
    /// How many requests wait.
    waiting: AtomicUsize,
}

impl Queue {
    pub(crate) fn new(settings: QueueSettings) -> Self {
        let queue = Self { size: AtomicUsize::new(0), timeout: AtomicU64::new(0), waiting: AtomicUsize::new(0) };
        queue.reconfigure(settings);
        queue
    }

    /// Requests that wait already keep their deadline.
    pub(crate) fn reconfigure(&self, settings: QueueSettings) {
        let timeout = u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX);
        self.size.store(settings.size, Ordering::Relaxed);
        self.timeout.store(timeout, Ordering::Relaxed);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether requests may wait at all.
    pub(crate) fn is_open(&self) -> bool {
        self.size.load(Ordering::Relaxed) > 0
    }

    /// Waits for `balancer` until `ask` is placed or rejected. `first` is the outcome before the wait.
    pub(crate) async fn wait<T>(
        &self,
        balancer: &Arc<Balancer>,
        first: PickOutcome<T>,
        mut ask: impl FnMut() -> PickOutcome<T>,
    ) -> Result<T, LocalReply> {
        let mut deadline = pin!(sleep(Duration::from_millis(self.timeout.load(Ordering::Relaxed))));
        let _ticket = self.join().ok_or(LocalReply::QueueFull)?;
        let mut waiter = balancer.waiter();
        let mut target = None;
        let mut asked = first;
        loop {
            let pause = match asked {
                PickOutcome::Placed(placed, upstream) if waiter.is_behind(upstream) => {
                    drop(placed);
                    // The request in front may have been woken and not have run yet.
                    tokio::task::yield_now().await;
                    RECHECK_INTERVAL
                }
                PickOutcome::Placed(placed, upstream) => {
                    waiter.served(upstream);
                    return Ok(placed);
                }
                PickOutcome::Rejected(reply) => return Err(reply),
                PickOutcome::Full(wanted) => {
                    target = Some(wanted);
                    RECHECK_INTERVAL
                }
                PickOutcome::RetryAfter(pause) => {
                    target = None;
                    waiter.pause();
                    pause
                }
            };
            if !turn(&mut waiter, target, pause, deadline.as_mut()).await {
                return Err(LocalReply::QueueTimeout);
            }
            asked = ask();
        }
    }

    /// `None` where the queue is full.
    fn join(&self) -> Option<Ticket<'_>> {
        let size = self.size.load(Ordering::Relaxed);
        let one_more = |waiting| (waiting < size).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Ticket(self))
    }
}

/// Completes with true when the request is to ask again, and with false at its deadline.
async fn turn(
    waiter: &mut PlaceWaiter,
    target: Option<WaitFor>,
    pause: Duration,
    mut deadline: Pin<&mut Sleep>,
) -> bool {
    enum Turn {
        Woken,
        Paused,
        Deadline,
    }
    loop {
        let mut pause = pin!(sleep(pause));
        let turn = poll_fn(|cx| {
            if let Some(target) = target
                && waiter.poll_freed(target, cx).is_ready()
            {
                return Poll::Ready(Turn::Woken);
            }
            match deadline.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Turn::Deadline),
                Poll::Pending => pause.as_mut().poll(cx).map(|()| Turn::Paused),
            }
        });
        match turn.await {
            Turn::Deadline => return false,
            Turn::Paused if !waiter.is_first() => {}
            Turn::Woken | Turn::Paused => return true,
        }
    }
}

/// A request that counts as waiting, until it is dropped.
struct Ticket<'q>(&'q Queue);

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
