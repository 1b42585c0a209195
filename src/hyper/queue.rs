//! Requests that wait while upstreams are at their limit: first come, first served.
//!
//! Who waits stands in one of several lines: for any place there is, or for one at the upstream where its session
//! lives. A place that comes free is offered to whoever has waited longest of those who could take it. The queue hands
//! nothing over: who is woken picks again, and stands where it stood if that comes to nothing.

use super::{QueueSettings, Refusal};
use crate::cluster::{Decision, UpstreamId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How often one asks without having been woken: whoever waits for what nobody would tell, and the first of a line, since
/// an upstream may have come back, or been given more room, and a wake may have crossed the one who was about to wait.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// Where one waits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Line {
    /// For any place.
    Any,
    /// For one at this upstream.
    Home(UpstreamId),
}

/// What came of asking.
pub(super) enum Asked<T> {
    Placed(T, UpstreamId),
    Full(Line),
    Later(Duration),
    Refused(Refusal),
}

#[derive(Debug)]
pub(super) struct Queue {
    settings: QueueSettings,
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
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self { settings, waiting: AtomicUsize::new(0), lines: Mutex::default() }
    }

    /// Whether nobody waits. One relaxed load.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether anybody may wait.
    pub(super) fn is_open(&self) -> bool {
        self.settings.size > 0
    }

    /// A place at `upstream` is free.
    pub(super) fn freed(&self, upstream: UpstreamId) {
        if !self.is_empty() {
            self.lines.lock().offer(upstream);
        }
    }

    /// Whether a newcomer who was given a place at `upstream` has overtaken somebody. A session that comes home
    /// overtakes only those who wait for the same home.
    pub(super) fn overtakes(&self, decision: Decision, upstream: UpstreamId) -> bool {
        let lines = self.lines.lock();
        let stands = |line| lines.standing.contains_key(&line);
        stands(Line::Home(upstream)) || (decision != Decision::Pinned && stands(Line::Any))
    }

    /// Waits until `ask` has an answer, from `first` on.
    pub(super) async fn wait<T>(&self, first: Asked<T>, mut ask: impl FnMut() -> Asked<T>) -> Result<T, Refusal> {
        let mut deadline = pin!(sleep(self.settings.timeout));
        let mut ticket = self.join().ok_or(Refusal::QueueFull)?;
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
                return Err(Refusal::QueueTimeout);
            }
            asked = ask();
        }
    }

    /// `None` where as many wait as may.
    fn join(&self) -> Option<Ticket<'_>> {
        let mut lines = self.lines.lock();
        let waiting = self.waiting();
        if waiting >= self.settings.size {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Lost;
    use std::sync::Arc;
    use tokio::task::{JoinHandle, yield_now};
    use tokio::time::Instant;

    const TIMEOUT: Duration = Duration::from_secs(5);

    /// Upstreams with so many places each, and the numbers of those who were served.
    struct Town {
        queue: Queue,
        free: Mutex<BTreeMap<UpstreamId, u32>>,
        served: Mutex<Vec<u32>>,
    }

    /// A place, until it is dropped.
    struct Spot(Arc<Town>, UpstreamId);

    impl Drop for Spot {
        fn drop(&mut self) {
            *self.0.free.lock().entry(self.1).or_default() += 1;
            self.0.queue.freed(self.1);
        }
    }

    const HOME: UpstreamId = UpstreamId(1);
    const OTHER: UpstreamId = UpstreamId(2);

    impl Town {
        fn with(size: usize) -> Arc<Self> {
            let queue = Queue::new(QueueSettings { size, timeout: TIMEOUT });
            Arc::new(Self { queue, free: Mutex::default(), served: Mutex::default() })
        }

        fn ask(self: &Arc<Self>, line: Line) -> Asked<Spot> {
            let mut free = self.free.lock();
            let found =
                free.iter_mut().find(|(id, left)| **left > 0 && (line == Line::Any || line == Line::Home(**id)));
            match found {
                Some((id, left)) => {
                    *left -= 1;
                    Asked::Placed(Spot(Arc::clone(self), *id), *id)
                }
                None => Asked::Full(line),
            }
        }

        /// One who keeps the place for good, once there is one.
        async fn queue(self: &Arc<Self>, number: u32, line: Line) -> JoinHandle<Result<(), Refusal>> {
            let town = Arc::clone(self);
            let drawn = || self.queue.lines.lock().drawn;
            let before = drawn();
            let task = tokio::spawn(async move {
                let spot = town.queue.wait(Asked::Full(line), || town.ask(line)).await?;
                town.served.lock().push(number);
                std::mem::forget(spot);
                Ok(())
            });
            while drawn() == before && !task.is_finished() {
                yield_now().await;
            }
            settle().await;
            task
        }

        fn free(&self, upstream: UpstreamId) {
            self.free_unheard(upstream);
            self.queue.freed(upstream);
        }

        fn free_unheard(&self, upstream: UpstreamId) {
            *self.free.lock().entry(upstream).or_default() += 1;
        }

        fn served(&self) -> Vec<u32> {
            self.served.lock().clone()
        }
    }

    /// Lets everybody run who can, in no time.
    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_first_is_served_first() {
        let (town, start) = (Town::with(100), Instant::now());
        for number in 0..50 {
            town.queue(number, Line::Any).await;
        }
        for number in 0..50 {
            town.free([HOME, OTHER][number as usize % 2]);
            settle().await;
            assert_eq!(town.served(), (0..=number).collect::<Vec<_>>());
        }
        assert!(town.queue.is_empty());
        assert_eq!(start.elapsed(), Duration::ZERO, "somebody was served by chance and not by being woken");
    }

    #[tokio::test(start_paused = true)]
    async fn many_places_at_once_serve_as_many_in_order() {
        let town = Town::with(100);
        for number in 0..50 {
            town.queue(number, Line::Any).await;
        }
        (0..20).for_each(|_| town.free(HOME));
        settle().await;
        assert_eq!(town.served(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_wait_than_may_and_none_for_longer_than_they_should() {
        let (town, start) = (Town::with(2), Instant::now());
        let waiting = [town.queue(0, Line::Any).await, town.queue(1, Line::Home(HOME)).await];
        let over = town.queue(2, Line::Any).await;
        assert_eq!(over.await.unwrap(), Err(Refusal::QueueFull));
        assert_eq!(start.elapsed(), Duration::ZERO);
        for task in waiting {
            assert_eq!(task.await.unwrap(), Err(Refusal::QueueTimeout));
        }
        assert_eq!((start.elapsed(), town.queue.waiting()), (TIMEOUT, 0));
        town.free(HOME);
        assert_eq!(town.queue(3, Line::Any).await.await.unwrap(), Ok(()), "the queue is of use again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_offered_to_one_who_leaves_goes_to_the_next() {
        let (town, start) = (Town::with(10), Instant::now());
        let first = town.queue(0, Line::Any).await;
        let _second = town.queue(1, Line::Any).await;
        town.free(HOME);
        // Woken, and gone before it could run.
        first.abort();
        settle().await;
        assert_eq!((town.served(), start.elapsed()), (vec![1], Duration::ZERO));
        assert!(town.queue.is_empty() && town.queue.lines.lock().standing.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_one_place_does_not_hold_up_those_who_take_any() {
        let town = Town::with(10);
        town.queue(0, Line::Home(HOME)).await;
        town.queue(1, Line::Any).await;
        town.free(OTHER);
        settle().await;
        assert_eq!(town.served(), [1]);
        town.free(HOME);
        settle().await;
        assert_eq!(town.served(), [1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_who_could_take_it_the_first_does() {
        for (lines, name) in [([Line::Any, Line::Home(HOME)], "any"), ([Line::Home(HOME), Line::Any], "home")] {
            let town = Town::with(10);
            town.queue(0, lines[0]).await;
            town.queue(1, lines[1]).await;
            town.free(HOME);
            settle().await;
            assert_eq!(town.served(), [0], "{name} was first");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_cannot_take_is_offered_to_the_other_line() {
        let (town, start) = (Town::with(10), Instant::now());
        // As if it had tried there before.
        let picky = Arc::clone(&town);
        let _picky = tokio::spawn(async move {
            picky.queue.wait::<Spot>(Asked::Full(Line::Any), || Asked::Full(Line::Any)).await.map(drop)
        });
        settle().await;
        town.queue(1, Line::Home(HOME)).await;
        town.free(HOME);
        settle().await;
        assert_eq!((town.served(), start.elapsed()), (vec![1], Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_nobody_announced_is_found_by_the_first() {
        let (town, start) = (Town::with(10), Instant::now());
        let first = town.queue(0, Line::Any).await;
        let second = town.queue(1, Line::Any).await;
        town.free_unheard(HOME);
        town.free_unheard(HOME);
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        assert_eq!((town.served(), start.elapsed()), (vec![0, 1], LOOK), "the first tells the second");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_to_come_later_comes_then() {
        let (town, start) = (Town::with(10), Instant::now());
        let mut times = 0;
        let asked = town.queue.wait(Asked::Later(Duration::from_millis(700)), || {
            times += 1;
            match times {
                1 => Asked::Later(Duration::from_millis(300)),
                _ => Asked::Placed((), HOME),
            }
        });
        assert_eq!(asked.await, Ok(()));
        assert_eq!((start.elapsed(), times), (Duration::from_secs(1), 2));
        let late = town.queue.wait::<()>(Asked::Later(TIMEOUT * 2), || Asked::Later(TIMEOUT * 2));
        assert_eq!(late.await, Err(Refusal::QueueTimeout));
        assert_eq!(start.elapsed(), Duration::from_secs(1) + TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn newcomers_see_whom_they_would_overtake() {
        let town = Town::with(10);
        let (new, pinned) = (Decision::New, Decision::Pinned);
        let overtakes = |decision, upstream| town.queue.overtakes(decision, upstream);
        assert!(!overtakes(new, HOME));
        town.queue(0, Line::Home(HOME)).await;
        assert!(overtakes(new, HOME) && overtakes(pinned, HOME));
        assert!(!overtakes(new, OTHER) && !overtakes(pinned, OTHER));
        town.queue(1, Line::Any).await;
        assert!(overtakes(new, OTHER) && overtakes(Decision::Lost(Lost::NotServing), OTHER));
        assert!(!overtakes(pinned, OTHER), "a session that comes home goes straight on");
    }

    /// One who takes any place and happens upon one that somebody waits for gives it back.
    #[tokio::test(start_paused = true)]
    async fn a_home_is_left_to_who_waited_longer_for_it() {
        let (town, start) = (Town::with(10), Instant::now());
        let home = town.queue(0, Line::Home(HOME)).await;
        // Nobody tells, so both have to look; the one who takes any is there first.
        town.free_unheard(HOME);
        let any = town.queue(1, Line::Any).await;
        assert_eq!(town.served(), [0], "{:?}", start.elapsed());
        home.await.unwrap().unwrap();
        any.abort();
    }
}
