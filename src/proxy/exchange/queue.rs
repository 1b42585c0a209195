//! Requests that wait while upstreams are at their limit: first come, first served.
//!
//! Who waits stands in one of several lines: for any place there is, or for one at the upstream where its session
//! lives. A place that comes free is offered to whoever has waited longest of those who could take it. The queue hands
//! nothing over: who is woken picks again, and stands where it stood if that comes to nothing.

#[cfg(test)]
mod tests;

use crate::cluster::{Decision, UpstreamId};
use crate::proxy::{LocalReply, QueueSettings};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How often one asks without having been woken: whoever waits for what nobody would tell, and the first of a line, since
/// an upstream may have come back, or been given more room, and a wake may have crossed the one who was about to wait.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// Where one waits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Line {
    /// For any place.
    Any,
    /// For one at this upstream.
    Home(UpstreamId),
}

/// What came of asking.
pub(crate) enum Asked<T> {
    Placed(T, UpstreamId),
    Full(Line),
    Later(Duration),
    Refused(LocalReply),
}

#[derive(Debug)]
pub(crate) struct Queue {
    /// The most that wait at once.
    size: AtomicUsize,
    /// The longest that one waits, in milliseconds.
    timeout: AtomicU64,
    /// How many wait. Written with the lock held.
    waiting: AtomicUsize,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    /// Numbers are drawn in the order of arrival.
    drawn: u64,
    /// None is empty.
    standing: HashMap<Line, BTreeMap<u64, Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    woken: Option<Woken>,
    waker: Waker,
}

/// Why one was woken.
#[derive(Clone, Copy, Debug)]
enum Woken {
    /// There is a place here.
    Place(UpstreamId),
    /// Whoever stood before has gone.
    First,
}

impl Queue {
    pub(crate) fn new(settings: QueueSettings) -> Self {
        let queue = Self {
            size: AtomicUsize::new(0),
            timeout: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            lines: Mutex::default(),
        };
        queue.reconfigure(settings);
        queue
    }

    /// Who waits already, waits on.
    pub(crate) fn reconfigure(&self, settings: QueueSettings) {
        let timeout = u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX);
        self.size.store(settings.size, Ordering::Relaxed);
        self.timeout.store(timeout, Ordering::Relaxed);
    }

    /// Whether nobody waits. One relaxed load.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether anybody may wait.
    pub(crate) fn is_open(&self) -> bool {
        self.size.load(Ordering::Relaxed) > 0
    }

    /// A place at `upstream` is free.
    pub(crate) fn freed(&self, upstream: UpstreamId) {
        if !self.is_empty() {
            self.lines.lock().offer(upstream);
        }
    }

    /// Whether a newcomer who was given a place at `upstream` has overtaken somebody. A session that comes home
    /// overtakes only those who wait for the same home.
    pub(crate) fn overtakes(&self, decision: Decision, upstream: UpstreamId) -> bool {
        let lines = self.lines.lock();
        let stands = |line| lines.standing.contains_key(&line);
        stands(Line::Home(upstream)) || (decision != Decision::Pinned && stands(Line::Any))
    }

    /// Waits until `ask` has an answer, from `first` on.
    pub(crate) async fn wait<T>(&self, first: Asked<T>, mut ask: impl FnMut() -> Asked<T>) -> Result<T, LocalReply> {
        let mut deadline = pin!(sleep(Duration::from_millis(self.timeout.load(Ordering::Relaxed))));
        let mut ticket = self.join().ok_or(LocalReply::QueueFull)?;
        let mut asked = first;
        loop {
            let pause = match asked {
                Asked::Placed(placed, upstream) if ticket.overtakes(upstream) => {
                    drop(placed);
                    // Whoever is meant may have been woken and not have run yet.
                    tokio::task::yield_now().await;
                    LOOK
                }
                Asked::Placed(placed, upstream) => {
                    ticket.served(upstream);
                    return Ok(placed);
                }
                Asked::Refused(refusal) => {
                    ticket.failed();
                    return Err(refusal);
                }
                Asked::Full(line) => {
                    ticket.failed();
                    ticket.stand(Some(line));
                    LOOK
                }
                Asked::Later(pause) => {
                    ticket.failed();
                    ticket.stand(None);
                    pause
                }
            };
            if !ticket.turn(pause, deadline.as_mut()).await {
                return Err(LocalReply::QueueTimeout);
            }
            asked = ask();
        }
    }

    /// `None` where as many wait as may.
    fn join(&self) -> Option<Ticket<'_>> {
        let mut lines = self.lines.lock();
        let waiting = self.waiting();
        if waiting >= self.size.load(Ordering::Relaxed) {
            return None;
        }
        self.waiting.store(waiting + 1, Ordering::SeqCst);
        lines.drawn += 1;
        Some(Ticket { queue: self, number: lines.drawn, line: None, woken: None })
    }
}

impl Lines {
    /// Offers a place at `upstream` to whoever has waited longest and was not woken yet.
    fn offer(&mut self, upstream: UpstreamId) {
        let lines = [Line::Any, Line::Home(upstream)];
        let first = lines.into_iter().filter_map(|line| Some((self.first_asleep(line)?, line))).min_by_key(|(n, _)| *n);
        if let Some((_, line)) = first {
            self.wake(line, Woken::Place(upstream));
        }
    }

    fn first_asleep(&self, line: Line) -> Option<u64> {
        self.standing.get(&line)?.iter().find(|(_, waiter)| waiter.woken.is_none()).map(|(number, _)| *number)
    }

    /// Wakes the first of a line who was not woken yet.
    fn wake(&mut self, line: Line, why: Woken) {
        let waiters = self.standing.get_mut(&line).into_iter().flat_map(BTreeMap::values_mut);
        if let Some(waiter) = { waiters }.find(|waiter| waiter.woken.is_none()) {
            waiter.woken = Some(why);
            waiter.waker.wake_by_ref();
        }
    }
}

/// A number of one who waits, until it is dropped.
struct Ticket<'q> {
    queue: &'q Queue,
    number: u64,
    line: Option<Line>,
    /// Why it asks now.
    woken: Option<Woken>,
}

impl Ticket<'_> {
    /// Stands in this line from now on, by its number, or in none.
    fn stand(&mut self, line: Option<Line>) {
        if self.line == line {
            return;
        }
        let mut lines = self.queue.lines.lock();
        self.leave(&mut lines);
        self.line = line;
        let Some(line) = line else { return };
        let waiters = lines.standing.entry(line).or_default();
        // A place may have come free just before anybody could know that this one waits.
        let is_first = waiters.keys().next().is_none_or(|first| *first > self.number);
        let woken = is_first.then_some(Woken::First);
        waiters.insert(self.number, Waiter { woken, waker: Waker::noop().clone() });
    }

    /// Completes when it should ask again: true; or when it is too late: false.
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

    /// Whether somebody waited longer for the place at `upstream` that this one has been given.
    fn overtakes(&self, upstream: UpstreamId) -> bool {
        let lines = self.queue.lines.lock();
        let home = lines.standing.get(&Line::Home(upstream)).and_then(|waiters| waiters.keys().next());
        home.is_some_and(|first| *first < self.number)
    }

    fn is_woken(&mut self, waker: &Waker) -> bool {
        let Some(line) = self.line else { return false };
        let mut lines = self.queue.lines.lock();
        let Some(waiter) = lines.standing.get_mut(&line).and_then(|waiters| waiters.get_mut(&self.number)) else {
            return false;
        };
        waiter.waker.clone_from(waker);
        self.woken = waiter.woken.take();
        self.woken.is_some()
    }

    fn is_first(&self) -> bool {
        let Some(line) = self.line else { return true };
        let lines = self.queue.lines.lock();
        let first = lines.standing.get(&line).and_then(|waiters| waiters.keys().next().copied());
        first == Some(self.number)
    }

    /// What it was offered it could not take; another line might.
    fn failed(&mut self) {
        if let (Some(Woken::Place(upstream)), Some(Line::Any)) = (self.woken.take(), self.line) {
            self.queue.lines.lock().wake(Line::Home(upstream), Woken::Place(upstream));
        }
    }

    /// It has a place at `upstream`. There may be more, for whoever stands behind it; and what it was offered may have been
    /// another's.
    fn served(mut self, upstream: UpstreamId) {
        let mut lines = self.queue.lines.lock();
        match self.woken.take() {
            Some(Woken::Place(offered)) if offered != upstream => lines.offer(offered),
            _ => {}
        }
        let line = self.line;
        self.leave(&mut lines);
        if let Some(line) = line {
            lines.wake(line, Woken::First);
        }
    }

    /// Leaves its line. What it was woken for and did not come to ask for goes to the next.
    fn leave(&mut self, lines: &mut Lines) {
        let Some(line) = self.line.take() else { return };
        let Some(waiters) = lines.standing.get_mut(&line) else { return };
        let waiter = waiters.remove(&self.number);
        if waiters.is_empty() {
            lines.standing.remove(&line);
        }
        match waiter.and_then(|waiter| waiter.woken) {
            Some(Woken::Place(upstream)) => lines.offer(upstream),
            Some(Woken::First) => lines.wake(line, Woken::First),
            None => {}
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let queue = self.queue;
        let mut lines = queue.lines.lock();
        self.leave(&mut lines);
        queue.waiting.store(queue.waiting() - 1, Ordering::Relaxed);
    }
}
