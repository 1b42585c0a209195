use super::*;
use crate::cluster::PinLoss;
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

    fn ask(self: &Arc<Self>, line: WaitFor) -> PickOutcome<Spot> {
        let mut free = self.free.lock();
        let found =
            free.iter_mut().find(|(id, left)| **left > 0 && (line == WaitFor::Any || line == WaitFor::Upstream(**id)));
        match found {
            Some((id, left)) => {
                *left -= 1;
                PickOutcome::Placed(Spot(Arc::clone(self), *id), *id)
            }
            None => PickOutcome::Full(line),
        }
    }

    /// One who keeps the place for good, once there is one.
    async fn queue(self: &Arc<Self>, number: u32, line: WaitFor) -> JoinHandle<Result<(), LocalReply>> {
        let town = Arc::clone(self);
        let drawn = || self.queue.lists.lock().last_number;
        let before = drawn();
        let task = tokio::spawn(async move {
            let spot = town.queue.wait(PickOutcome::Full(line), || town.ask(line)).await?;
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
        town.queue(number, WaitFor::Any).await;
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
        town.queue(number, WaitFor::Any).await;
    }
    (0..20).for_each(|_| town.free(HOME));
    settle().await;
    assert_eq!(town.served(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may_and_none_for_longer_than_they_should() {
    let (town, start) = (Town::with(2), Instant::now());
    let waiting = [town.queue(0, WaitFor::Any).await, town.queue(1, WaitFor::Upstream(HOME)).await];
    let over = town.queue(2, WaitFor::Any).await;
    assert_eq!(over.await.unwrap(), Err(LocalReply::QueueFull));
    assert_eq!(start.elapsed(), Duration::ZERO);
    for task in waiting {
        assert_eq!(task.await.unwrap(), Err(LocalReply::QueueTimeout));
    }
    assert_eq!((start.elapsed(), town.queue.waiting()), (TIMEOUT, 0));
    town.free(HOME);
    assert_eq!(town.queue(3, WaitFor::Any).await.await.unwrap(), Ok(()), "the queue is of use again");
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_to_one_who_leaves_goes_to_the_next() {
    let (town, start) = (Town::with(10), Instant::now());
    let first = town.queue(0, WaitFor::Any).await;
    let _second = town.queue(1, WaitFor::Any).await;
    town.free(HOME);
    // WakeReason, and gone before it could run.
    first.abort();
    settle().await;
    assert_eq!((town.served(), start.elapsed()), (vec![1], Duration::ZERO));
    assert!(town.queue.is_empty() && town.queue.lists.lock().waiters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_place_does_not_hold_up_those_who_take_any() {
    let town = Town::with(10);
    town.queue(0, WaitFor::Upstream(HOME)).await;
    town.queue(1, WaitFor::Any).await;
    town.free(OTHER);
    settle().await;
    assert_eq!(town.served(), [1]);
    town.free(HOME);
    settle().await;
    assert_eq!(town.served(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn of_those_who_could_take_it_the_first_does() {
    for (lines, name) in
        [([WaitFor::Any, WaitFor::Upstream(HOME)], "any"), ([WaitFor::Upstream(HOME), WaitFor::Any], "home")]
    {
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
        picky.queue.wait::<Spot>(PickOutcome::Full(WaitFor::Any), || PickOutcome::Full(WaitFor::Any)).await.map(drop)
    });
    settle().await;
    town.queue(1, WaitFor::Upstream(HOME)).await;
    town.free(HOME);
    settle().await;
    assert_eq!((town.served(), start.elapsed()), (vec![1], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_nobody_announced_is_found_by_the_first() {
    let (town, start) = (Town::with(10), Instant::now());
    let first = town.queue(0, WaitFor::Any).await;
    let second = town.queue(1, WaitFor::Any).await;
    town.free_unheard(HOME);
    town.free_unheard(HOME);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!((town.served(), start.elapsed()), (vec![0, 1], RECHECK_INTERVAL), "the first tells the second");
}

#[tokio::test(start_paused = true)]
async fn who_is_to_come_later_comes_then() {
    let (town, start) = (Town::with(10), Instant::now());
    let mut times = 0;
    let asked = town.queue.wait(PickOutcome::RetryAfter(Duration::from_millis(700)), || {
        times += 1;
        match times {
            1 => PickOutcome::RetryAfter(Duration::from_millis(300)),
            _ => PickOutcome::Placed((), HOME),
        }
    });
    assert_eq!(asked.await, Ok(()));
    assert_eq!((start.elapsed(), times), (Duration::from_secs(1), 2));
    let late = town.queue.wait::<()>(PickOutcome::RetryAfter(TIMEOUT * 2), || PickOutcome::RetryAfter(TIMEOUT * 2));
    assert_eq!(late.await, Err(LocalReply::QueueTimeout));
    assert_eq!(start.elapsed(), Duration::from_secs(1) + TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn newcomers_see_whom_they_would_overtake() {
    let town = Town::with(10);
    let (new, pinned) = (Decision::New, Decision::Pinned);
    let overtakes = |decision, upstream| town.queue.overtakes(decision, upstream);
    assert!(!overtakes(new, HOME));
    town.queue(0, WaitFor::Upstream(HOME)).await;
    assert!(overtakes(new, HOME) && overtakes(pinned, HOME));
    assert!(!overtakes(new, OTHER) && !overtakes(pinned, OTHER));
    town.queue(1, WaitFor::Any).await;
    assert!(overtakes(new, OTHER) && overtakes(Decision::PinLost(PinLoss::NotServing), OTHER));
    assert!(!overtakes(pinned, OTHER), "a session that comes home goes straight on");
}

/// One who takes any place and happens upon one that somebody waits for gives it back.
#[tokio::test(start_paused = true)]
async fn a_home_is_left_to_who_waited_longer_for_it() {
    let (town, start) = (Town::with(10), Instant::now());
    let home = town.queue(0, WaitFor::Upstream(HOME)).await;
    // Nobody tells, so both have to look; the one who takes any is there first.
    town.free_unheard(HOME);
    let any = town.queue(1, WaitFor::Any).await;
    assert_eq!(town.served(), [0], "{:?}", start.elapsed());
    home.await.unwrap().unwrap();
    any.abort();
}
