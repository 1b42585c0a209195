//! Requests that wait while upstreams are at their limit: first come, first served.
//!
//! A request waits in one of several lists: for any place, or for one at its session's own upstream. A place that
//! comes free is offered to the request that has waited longest of those that could take it. The queue hands over no
//! lease: a woken request picks again, and keeps its position if that fails.

#[cfg(test)]
mod tests;

use crate::cluster::{Decision, UpstreamId};
use crate::proxy::local_reply::LocalReply;
use crate::proxy::settings::QueueSettings;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How often a request asks again without having been woken: where no wake is to be expected, and at the head of a
/// list, since an upstream may have recovered or been given a higher limit, and a wake may have crossed a request
/// that was about to wait.
pub(crate) const RECHECK_INTERVAL: Duration = Duration::from_millis(100);

/// What a request waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum WaitFor {
    /// A place at any upstream.
    Any,
    /// A place at this upstream.
    Upstream(UpstreamId),
}

/// The outcome of asking the balancer.
pub(crate) enum PickOutcome<T> {
    Placed(T, UpstreamId),
    Full(WaitFor),
    RetryAfter(Duration),
    Rejected(LocalReply),
}

#[derive(Debug)]
pub(crate) struct Queue {
    /// The most requests that wait at once.
    size: AtomicUsize,
    /// The longest wait, in milliseconds.
    timeout: AtomicU64,
    /// How many requests wait. Written with the lock held.
    waiting: AtomicUsize,
    lists: Mutex<WaitLists>,
}

#[derive(Debug, Default)]
struct WaitLists {
    /// Tickets are numbered in the order of arrival.
    last_number: u64,
    /// No list is empty.
    waiters: HashMap<WaitFor, BTreeMap<u64, Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    woken: Option<WakeReason>,
    waker: Waker,
}

/// Why a request was woken.
#[derive(Clone, Copy, Debug)]
enum WakeReason {
    /// A place at this upstream came free.
    Place(UpstreamId),
    /// It is the head of its list now.
    First,
}

impl Queue {
    pub(crate) fn new(settings: QueueSettings) -> Self {
        let queue = Self {
            size: AtomicUsize::new(0),
            timeout: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            lists: Mutex::default(),
        };
        queue.reconfigure(settings);
        queue
    }

    /// Requests that wait already keep their deadline.
    pub(crate) fn reconfigure(&self, settings: QueueSettings) {
        let timeout = u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX);
        self.size.store(settings.size, Ordering::Relaxed);
        self.timeout.store(timeout, Ordering::Relaxed);
    }

    /// Whether no request waits. One relaxed load.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether requests may wait at all.
    pub(crate) fn is_open(&self) -> bool {
        self.size.load(Ordering::Relaxed) > 0
    }

    /// Announces that a place at `upstream` is free.
    pub(crate) fn freed(&self, upstream: UpstreamId) {
        if !self.is_empty() {
            self.lists.lock().offer(upstream);
        }
    }

    /// Whether a new request that was assigned to `upstream` would overtake one that waits. A pinned session
    /// overtakes only those that wait for the same upstream: others do not compete for its place.
    pub(crate) fn overtakes(&self, decision: Decision, upstream: UpstreamId) -> bool {
        let lists = self.lists.lock();
        let has_waiters = |target| lists.waiters.contains_key(&target);
        has_waiters(WaitFor::Upstream(upstream)) || (decision != Decision::Pinned && has_waiters(WaitFor::Any))
    }

    /// Waits until `ask` is placed or rejected. `first` is the outcome before the wait.
    pub(crate) async fn wait<T>(
        &self,
        first: PickOutcome<T>,
        mut ask: impl FnMut() -> PickOutcome<T>,
    ) -> Result<T, LocalReply> {
        let mut deadline = pin!(sleep(Duration::from_millis(self.timeout.load(Ordering::Relaxed))));
        let mut ticket = self.join().ok_or(LocalReply::QueueFull)?;
        let mut asked = first;
        loop {
            let pause = match asked {
                PickOutcome::Placed(placed, upstream) if ticket.overtakes(upstream) => {
                    drop(placed);
                    // The request in front may have been woken and not have run yet.
                    tokio::task::yield_now().await;
                    RECHECK_INTERVAL
                }
                PickOutcome::Placed(placed, upstream) => {
                    ticket.served(upstream);
                    return Ok(placed);
                }
                PickOutcome::Rejected(reply) => {
                    ticket.failed();
                    return Err(reply);
                }
                PickOutcome::Full(target) => {
                    ticket.failed();
                    ticket.wait_for(Some(target));
                    RECHECK_INTERVAL
                }
                PickOutcome::RetryAfter(pause) => {
                    ticket.failed();
                    ticket.wait_for(None);
                    pause
                }
            };
            if !ticket.turn(pause, deadline.as_mut()).await {
                return Err(LocalReply::QueueTimeout);
            }
            asked = ask();
        }
    }

    /// `None` where the queue is full.
    fn join(&self) -> Option<Ticket<'_>> {
        let mut lists = self.lists.lock();
        let waiting = self.waiting();
        if waiting >= self.size.load(Ordering::Relaxed) {
            return None;
        }
        self.waiting.store(waiting + 1, Ordering::SeqCst);
        lists.last_number += 1;
        Some(Ticket { queue: self, number: lists.last_number, target: None, woken: None })
    }
}

impl WaitLists {
    /// Offers a place at `upstream` to the request that has waited longest and is not woken yet.
    fn offer(&mut self, upstream: UpstreamId) {
        let lists = [WaitFor::Any, WaitFor::Upstream(upstream)];
        let first =
            lists.into_iter().filter_map(|target| Some((self.first_unwoken(target)?, target))).min_by_key(|(n, _)| *n);
        if let Some((_, target)) = first {
            self.wake(target, WakeReason::Place(upstream));
        }
    }

    fn first_unwoken(&self, target: WaitFor) -> Option<u64> {
        self.waiters.get(&target)?.iter().find(|(_, waiter)| waiter.woken.is_none()).map(|(number, _)| *number)
    }

    /// Wakes the first request of a list that is not woken yet.
    fn wake(&mut self, target: WaitFor, why: WakeReason) {
        let waiters = self.waiters.get_mut(&target).into_iter().flat_map(BTreeMap::values_mut);
        if let Some(waiter) = { waiters }.find(|waiter| waiter.woken.is_none()) {
            waiter.woken = Some(why);
            waiter.waker.wake_by_ref();
        }
    }
}

/// A request that waits, until it is dropped.
struct Ticket<'q> {
    queue: &'q Queue,
    number: u64,
    target: Option<WaitFor>,
    /// Why it asks now; `None` after a pause.
    woken: Option<WakeReason>,
}

impl Ticket<'_> {
    /// Moves to the list of this target, to the position of its number, or to none.
    fn wait_for(&mut self, target: Option<WaitFor>) {
        if self.target == target {
            return;
        }
        let mut lists = self.queue.lists.lock();
        self.leave(&mut lists);
        self.target = target;
        let Some(target) = target else { return };
        let waiters = lists.waiters.entry(target).or_default();
        // A place may have come free just before this request was in the list.
        let is_first = waiters.keys().next().is_none_or(|first| *first > self.number);
        let woken = is_first.then_some(WakeReason::First);
        waiters.insert(self.number, Waiter { woken, waker: Waker::noop().clone() });
    }

    /// Completes with true when the request is to ask again, and with false at its deadline.
    async fn turn(&mut self, pause: Duration, mut deadline: Pin<&mut Sleep>) -> bool {
        loop {
            let mut pause = pin!(sleep(pause));
            let in_time = poll_fn(|cx| {
                if self.is_woken(cx.waker()) {
                    return Poll::Ready(true);
                }
                match deadline.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(false),
                    Poll::Pending => pause.as_mut().poll(cx).map(|()| true),
                }
            });
            if !in_time.await {
                return false;
            }
            if self.woken.is_some() || self.is_first() {
                return true;
            }
        }
    }

    /// Whether another request has waited longer for the place at `upstream` that this one has been assigned.
    fn overtakes(&self, upstream: UpstreamId) -> bool {
        let lists = self.queue.lists.lock();
        let home = lists.waiters.get(&WaitFor::Upstream(upstream)).and_then(|waiters| waiters.keys().next());
        home.is_some_and(|first| *first < self.number)
    }

    fn is_woken(&mut self, waker: &Waker) -> bool {
        let Some(target) = self.target else { return false };
        let mut lists = self.queue.lists.lock();
        let Some(waiter) = lists.waiters.get_mut(&target).and_then(|waiters| waiters.get_mut(&self.number)) else {
            return false;
        };
        waiter.waker.clone_from(waker);
        self.woken = waiter.woken.take();
        self.woken.is_some()
    }

    fn is_first(&self) -> bool {
        let Some(target) = self.target else { return true };
        let lists = self.queue.lists.lock();
        let first = lists.waiters.get(&target).and_then(|waiters| waiters.keys().next().copied());
        first == Some(self.number)
    }

    /// It could not take the place that it was offered; a request of another list might.
    fn failed(&mut self) {
        if let (Some(WakeReason::Place(upstream)), Some(WaitFor::Any)) = (self.woken.take(), self.target) {
            self.queue.lists.lock().wake(WaitFor::Upstream(upstream), WakeReason::Place(upstream));
        }
    }

    /// It has been placed at `upstream`. There may be more places, for the request behind it; and the place that it
    /// was offered may be another one.
    fn served(mut self, upstream: UpstreamId) {
        let mut lists = self.queue.lists.lock();
        match self.woken.take() {
            Some(WakeReason::Place(offered)) if offered != upstream => lists.offer(offered),
            _ => {}
        }
        let target = self.target;
        self.leave(&mut lists);
        if let Some(target) = target {
            lists.wake(target, WakeReason::First);
        }
    }

    /// Leaves its list. A wake that it did not act upon goes to the next request.
    fn leave(&mut self, lists: &mut WaitLists) {
        let Some(target) = self.target.take() else { return };
        let Some(waiters) = lists.waiters.get_mut(&target) else { return };
        let waiter = waiters.remove(&self.number);
        if waiters.is_empty() {
            lists.waiters.remove(&target);
        }
        match waiter.and_then(|waiter| waiter.woken) {
            Some(WakeReason::Place(upstream)) => lists.offer(upstream),
            Some(WakeReason::First) => lists.wake(target, WakeReason::First),
            None => {}
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let queue = self.queue;
        let mut lists = queue.lists.lock();
        self.leave(&mut lists);
        queue.waiting.store(queue.waiting() - 1, Ordering::Relaxed);
    }
}
