use super::*;
use crate::UpstreamConfig;
use crate::cluster::{Decision, PinLoss};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Upstreams with so many free places each, and the numbers of the requests that were served.
struct Fixture {
    queue: Queue,
    /// Announces places.
    balancer: Arc<Balancer>,
    free: Mutex<BTreeMap<UpstreamId, u32>>,
    served: Mutex<Vec<u32>>,
}

/// A place, until it is dropped.
struct HeldPlace(Arc<Fixture>, UpstreamId);

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.0.free(self.1);
    }
}

static HOME: LazyLock<UpstreamId> = LazyLock::new(|| UpstreamId::unkeyed("home"));
static OTHER: LazyLock<UpstreamId> = LazyLock::new(|| UpstreamId::unkeyed("other"));

impl Fixture {
    fn with(size: usize) -> Arc<Self> {
        let queue = Queue::new(QueueSettings { size, timeout: TIMEOUT });
        let upstreams = ["home", "other"].map(|name| UpstreamConfig::new(name, "127.0.0.1:1"));
        let balancer = Arc::new(Balancer::builder().upstreams(upstreams).build().unwrap());
        Arc::new(Self { queue, balancer, free: Mutex::default(), served: Mutex::default() })
    }

    fn ask(self: &Arc<Self>, target: WaitFor) -> PickOutcome<HeldPlace> {
        let mut free = self.free.lock();
        let found = free
            .iter_mut()
            .find(|(id, left)| **left > 0 && (target == WaitFor::Any || target == WaitFor::Upstream(**id)));
        match found {
            Some((id, left)) => {
                *left -= 1;
                PickOutcome::Placed(HeldPlace(Arc::clone(self), *id), *id)
            }
            None => PickOutcome::Full(target),
        }
    }

    /// A request that keeps its place for good, once it has one.
    async fn queue(self: &Arc<Self>, number: u32, target: WaitFor) -> JoinHandle<Result<(), LocalReply>> {
        let fixture = Arc::clone(self);
        let task = tokio::spawn(async move {
            let (queue, balancer) = (&fixture.queue, &fixture.balancer);
            let place = queue.wait(balancer, PickOutcome::Full(target), || fixture.ask(target)).await?;
            fixture.served.lock().push(number);
            std::mem::forget(place);
            Ok(())
        });
        settle().await;
        task
    }

    fn free(&self, upstream: UpstreamId) {
        self.free_silently(upstream);
        drop(self.balancer.cluster().find(upstream).unwrap().lease().unwrap());
    }

    fn free_silently(&self, upstream: UpstreamId) {
        *self.free.lock().entry(upstream).or_default() += 1;
    }

    fn served(&self) -> Vec<u32> {
        self.served.lock().clone()
    }
}

/// Lets every task run that can, in no time.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_request_is_served_first() {
    let (fixture, start) = (Fixture::with(100), Instant::now());
    for number in 0..50 {
        fixture.queue(number, WaitFor::Any).await;
    }
    for number in 0..50 {
        fixture.free([*HOME, *OTHER][number as usize % 2]);
        settle().await;
        assert_eq!(fixture.served(), (0..=number).collect::<Vec<_>>());
    }
    assert_eq!((fixture.queue.waiting(), fixture.balancer.waiting()), (0, 0));
    assert_eq!(start.elapsed(), Duration::ZERO, "a request was served by a recheck and not by a wake");
}

#[tokio::test(start_paused = true)]
async fn many_places_at_once_serve_as_many_in_order() {
    let fixture = Fixture::with(100);
    for number in 0..50 {
        fixture.queue(number, WaitFor::Any).await;
    }
    (0..20).for_each(|_| fixture.free(*HOME));
    settle().await;
    assert_eq!(fixture.served(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may_and_none_for_longer_than_they_should() {
    let (fixture, start) = (Fixture::with(2), Instant::now());
    let waiting = [fixture.queue(0, WaitFor::Any).await, fixture.queue(1, WaitFor::Upstream(*HOME)).await];
    let over = fixture.queue(2, WaitFor::Any).await;
    assert_eq!(over.await.unwrap(), Err(LocalReply::QueueFull));
    assert_eq!(start.elapsed(), Duration::ZERO);
    for task in waiting {
        assert_eq!(task.await.unwrap(), Err(LocalReply::QueueTimeout));
    }
    assert_eq!((start.elapsed(), fixture.queue.waiting()), (TIMEOUT, 0));
    fixture.free(*HOME);
    assert_eq!(fixture.queue(3, WaitFor::Any).await.await.unwrap(), Ok(()), "the queue is of use again");
}

#[tokio::test(start_paused = true)]
async fn a_place_offered_to_a_request_that_leaves_goes_to_the_next() {
    let (fixture, start) = (Fixture::with(10), Instant::now());
    let first = fixture.queue(0, WaitFor::Any).await;
    let _second = fixture.queue(1, WaitFor::Any).await;
    fixture.free(*HOME);
    // Woken, and gone before it could run.
    first.abort();
    settle().await;
    assert_eq!((fixture.served(), start.elapsed()), (vec![1], Duration::ZERO));
    assert_eq!((fixture.queue.waiting(), fixture.balancer.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_one_upstream_does_not_delay_those_that_take_any() {
    let fixture = Fixture::with(10);
    fixture.queue(0, WaitFor::Upstream(*HOME)).await;
    fixture.queue(1, WaitFor::Any).await;
    fixture.free(*OTHER);
    settle().await;
    assert_eq!(fixture.served(), [1]);
    fixture.free(*HOME);
    settle().await;
    assert_eq!(fixture.served(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn of_the_requests_that_could_take_a_place_the_first_does() {
    for (lines, name) in
        [([WaitFor::Any, WaitFor::Upstream(*HOME)], "any"), ([WaitFor::Upstream(*HOME), WaitFor::Any], "home")]
    {
        let fixture = Fixture::with(10);
        fixture.queue(0, lines[0]).await;
        fixture.queue(1, lines[1]).await;
        fixture.free(*HOME);
        settle().await;
        assert_eq!(fixture.served(), [0], "{name} was first");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_one_request_cannot_take_is_offered_to_the_other_list() {
    let (fixture, start) = (Fixture::with(10), Instant::now());
    // As if it had tried there before.
    let picky = Arc::clone(&fixture);
    let _picky = tokio::spawn(async move {
        picky
            .queue
            .wait::<HeldPlace>(&picky.balancer, PickOutcome::Full(WaitFor::Any), || PickOutcome::Full(WaitFor::Any))
            .await
            .map(drop)
    });
    settle().await;
    fixture.queue(1, WaitFor::Upstream(*HOME)).await;
    fixture.free(*HOME);
    settle().await;
    assert_eq!((fixture.served(), start.elapsed()), (vec![1], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_was_not_announced_is_found_by_the_first() {
    let (fixture, start) = (Fixture::with(10), Instant::now());
    let first = fixture.queue(0, WaitFor::Any).await;
    let second = fixture.queue(1, WaitFor::Any).await;
    fixture.free_silently(*HOME);
    fixture.free_silently(*HOME);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!((fixture.served(), start.elapsed()), (vec![0, 1], RECHECK_INTERVAL), "the first tells the second");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_to_retry_later_retries_then() {
    let (fixture, start) = (Fixture::with(10), Instant::now());
    let mut times = 0;
    let asked = fixture.queue.wait(&fixture.balancer, PickOutcome::RetryAfter(Duration::from_millis(700)), || {
        times += 1;
        match times {
            1 => PickOutcome::RetryAfter(Duration::from_millis(300)),
            _ => PickOutcome::Placed((), *HOME),
        }
    });
    assert_eq!(asked.await, Ok(()));
    assert_eq!((start.elapsed(), times), (Duration::from_secs(1), 2));
    let later = || PickOutcome::RetryAfter(TIMEOUT * 2);
    let late = fixture.queue.wait::<()>(&fixture.balancer, later(), later);
    assert_eq!(late.await, Err(LocalReply::QueueTimeout));
    assert_eq!(start.elapsed(), Duration::from_secs(1) + TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn new_requests_see_which_they_would_overtake() {
    let fixture = Fixture::with(10);
    let (new, pinned) = (Decision::New, Decision::Pinned);
    let overtakes = |decision, upstream| fixture.balancer.overtakes(decision, upstream);
    assert!(!overtakes(new, *HOME));
    fixture.queue(0, WaitFor::Upstream(*HOME)).await;
    assert!(overtakes(new, *HOME) && overtakes(pinned, *HOME));
    assert!(!overtakes(new, *OTHER) && !overtakes(pinned, *OTHER));
    fixture.queue(1, WaitFor::Any).await;
    assert!(overtakes(new, *OTHER) && overtakes(Decision::PinLost(PinLoss::NotServing), *OTHER));
    assert!(!overtakes(pinned, *OTHER), "a session that comes home goes straight on");
}

/// A request that takes any place gives back one for which another has waited longer.
#[tokio::test(start_paused = true)]
async fn a_place_is_left_to_the_request_that_has_waited_longer_for_it() {
    let (fixture, start) = (Fixture::with(10), Instant::now());
    let home = fixture.queue(0, WaitFor::Upstream(*HOME)).await;
    // Nothing is announced, so both have to recheck; the one that takes any place does so first.
    fixture.free_silently(*HOME);
    let any = fixture.queue(1, WaitFor::Any).await;
    assert_eq!(fixture.served(), [0], "{:?}", start.elapsed());
    home.await.unwrap().unwrap();
    any.abort();
}
