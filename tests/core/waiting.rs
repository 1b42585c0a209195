//! Waiting for a place: whatever makes one free wakes the waiter whose turn it is, and no executor is needed.

use crate::{NOW, balancer_with, ring, upstreams};
use homing::affinity::OnFull;
use homing::balancer::PlaceWaiter;
use homing::cluster::{UpstreamId, WaitFor};
use homing::{Affinity, Availability, Balancer, Decision, Lease, PickError, Request};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// Counts its wakes.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A waiter that is polled by hand.
struct Waiting {
    waiter: PlaceWaiter,
    target: WaitFor,
    counter: Arc<Counter>,
}

impl Waiting {
    /// A waiter that has picked in vain since it began to wait, so it waits for a wake.
    fn new(balancer: &Arc<Balancer>, target: WaitFor) -> Self {
        let mut waiting = Self { waiter: balancer.waiter(), target, counter: Arc::default() };
        while waiting.poll() {}
        assert_eq!(waiting.wakes(), 0);
        waiting
    }

    fn poll(&mut self) -> bool {
        let waker = Waker::from(Arc::clone(&self.counter));
        self.waiter.poll_freed(self.target, &mut Context::from_waker(&waker)).is_ready()
    }

    fn wakes(&self) -> usize {
        self.counter.0.load(Ordering::SeqCst)
    }
}

/// `app-1` to `app-n`, each with a limit of one, and the leases that fill them.
fn full(count: usize) -> (Arc<Balancer>, Vec<Lease>) {
    let limited = upstreams(count).into_iter().map(|upstream| upstream.max_in_flight(1)).collect();
    let affinity = Affinity::builder(ring(0, &[])).on_full(OnFull::Wait).build().unwrap();
    let balancer = Arc::new(balancer_with(limited, affinity));
    let held: Vec<Lease> = balancer.cluster().members().iter().map(|member| member.lease().unwrap()).collect();
    assert!(matches!(balancer.pick(&Request::new(NOW)), Err(PickError::Full)));
    (balancer, held)
}

fn id(balancer: &Balancer, index: usize) -> UpstreamId {
    balancer.cluster().members()[index].upstream().id()
}

#[test]
fn a_lease_that_ends_anywhere_wakes_the_longest_waiter_of_those_that_could_take_it() {
    let (balancer, mut held) = full(2);
    let pinned = WaitFor::Upstream(id(&balancer, 1));
    let mut waiters = [WaitFor::Any, pinned, WaitFor::Any].map(|target| Waiting::new(&balancer, target));
    assert_eq!(balancer.waiting(), 3);
    let wakes = |waiters: &[Waiting; 3]| waiters.each_ref().map(Waiting::wakes);
    // On another thread, and by a picker's lease as well as by any other.
    let lease = held.remove(0);
    thread::scope(|scope| {
        scope.spawn(move || drop(lease));
    });
    assert_eq!(wakes(&waiters), [1, 0, 0]);
    drop(held.pop());
    assert_eq!(wakes(&waiters), [1, 1, 0], "the second could take it, and the first is woken already");
    assert!(waiters[0].poll() && waiters[1].poll() && !waiters[2].poll());
    let taken = balancer.lease(id(&balancer, 0), 1, Decision::New, NOW).unwrap();
    let [first, second, mut third] = waiters;
    first.waiter.served(id(&balancer, 0));
    assert_eq!(third.wakes(), 1, "there may be more places");
    assert!(third.poll() && !third.poll());
    drop(taken);
    assert_eq!(third.wakes(), 2);
    drop(third);
    drop(second);
    assert_eq!(balancer.waiting(), 0);
}

#[test]
fn a_wake_that_is_not_used_goes_to_the_next() {
    let (balancer, mut held) = full(1);
    let [mut first, second, third] = [WaitFor::Any; 3].map(|target| Waiting::new(&balancer, target));
    drop(held.pop());
    assert_eq!([first.wakes(), second.wakes(), third.wakes()], [1, 0, 0]);
    assert!(first.poll());
    // Polled, and gone before it has picked.
    drop(first);
    assert_eq!([second.wakes(), third.wakes()], [1, 0]);
    // Woken, and gone before it was polled.
    drop(second);
    assert_eq!(third.wakes(), 1);
}

#[test]
fn recovery_membership_and_limits_wake() {
    let (balancer, held) = full(2);
    let pinned = WaitFor::Upstream(id(&balancer, 1));
    let mut waiters = [WaitFor::Any, pinned].map(|target| Waiting::new(&balancer, target));
    let mut woken = |what: &str, change: &dyn Fn(), expected: [bool; 2]| {
        change();
        let woken = waiters.each_mut().map(|waiting| {
            let woken = waiting.counter.0.swap(0, Ordering::SeqCst) > 0;
            assert_eq!(waiting.poll(), woken, "{what}");
            while waiting.poll() {}
            woken
        });
        assert_eq!(woken, expected, "{what}");
    };
    let set = |index: usize, availability| {
        balancer.cluster().members()[index].upstream().set_availability(availability);
    };
    woken("down", &|| set(1, Availability::DOWN), [true, true]);
    woken("still down", &|| set(1, Availability::DOWN), [false, false]);
    woken("up again", &|| set(1, Availability::ACTIVE), [true, true]);
    woken("the other is up", &|| set(0, Availability::DRAINING), [true, false]);
    let apply = |count: usize, limit: u32| {
        let next: Vec<_> = upstreams(count).into_iter().map(|upstream| upstream.max_in_flight(limit)).collect();
        balancer.apply(balancer.plan_to(&next).unwrap()).unwrap();
    };
    woken("one more upstream", &|| apply(3, 1), [true, true]);
    let third = balancer.cluster().members()[2].lease().unwrap();
    let third = Mutex::new(Some(third));
    woken("a place at the new upstream", &|| drop(third.lock().unwrap().take()), [true, false]);
    woken("a higher limit", &|| apply(3, 2), [true, true]);
    woken("no upstream", &|| apply(0, 1), [true, true]);
    woken("other keys", &|| assert!(balancer.set_keys(ring(1, &[0])).is_ok()), [true, true]);
    woken("a lease on what is gone", &|| (), [false, false]);
    drop(held);
}

#[test]
fn a_new_request_sees_which_it_would_overtake() {
    let (balancer, _held) = full(2);
    let ids = [id(&balancer, 0), id(&balancer, 1)];
    assert!(!balancer.overtakes(Decision::New, ids[0]));
    let mut unpolled = balancer.waiter();
    assert!(!balancer.overtakes(Decision::New, ids[0]) && unpolled.is_first(), "it waits for nothing yet");
    let pinned = Waiting::new(&balancer, WaitFor::Upstream(ids[1]));
    assert!(balancer.overtakes(Decision::New, ids[1]) && balancer.overtakes(Decision::Pinned, ids[1]));
    assert!(!balancer.overtakes(Decision::New, ids[0]));
    // A position is that of the arrival, not of the first poll.
    let waker = Waker::from(Arc::<Counter>::default());
    while unpolled.poll_freed(WaitFor::Any, &mut Context::from_waker(&waker)) == Poll::Ready(()) {}
    assert!(!unpolled.is_behind(ids[1]) && unpolled.is_first() && pinned.waiter.is_first());
    assert!(balancer.overtakes(Decision::New, ids[0]) && !balancer.overtakes(Decision::Pinned, ids[0]));
    unpolled.pause();
    assert_eq!(balancer.waiting(), 1);
    let late = Waiting::new(&balancer, WaitFor::Any);
    assert!(late.waiter.is_behind(ids[1]) && !late.waiter.is_behind(ids[0]));
}

/// A waker that runs code of its host, which uses the balancer: no lock of the waiters is held then.
#[test]
fn a_waker_may_use_the_balancer() {
    struct Reentrant(Arc<Balancer>, Mutex<Option<Lease>>);

    impl Wake for Reentrant {
        fn wake(self: Arc<Self>) {
            drop(self.1.lock().unwrap().take());
            drop(self.0.waiter());
        }
    }

    let (balancer, mut held) = full(2);
    let reentrant = Arc::new(Reentrant(Arc::clone(&balancer), Mutex::new(held.pop())));
    let mut waiter = balancer.waiter();
    let waker = Waker::from(Arc::clone(&reentrant));
    while waiter.poll_freed(WaitFor::Any, &mut Context::from_waker(&waker)).is_ready() {}
    drop(held);
    assert!(reentrant.1.lock().unwrap().is_none(), "it was woken");
}

/// Threads that block take every place there is, with no timer: a lost wake would hang one.
#[test]
fn no_wake_is_lost_among_threads() {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn place(balancer: &Arc<Balancer>) -> Lease {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut waiter = balancer.waiter();
        loop {
            match balancer.pick(&Request::new(NOW)) {
                Ok(pick) => {
                    waiter.served(pick.upstream().id());
                    return pick.lease;
                }
                Err(PickError::Full) => {
                    while waiter.poll_freed(WaitFor::Any, &mut Context::from_waker(&waker)).is_pending() {
                        thread::park();
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    const THREADS: usize = 6;
    let (balancer, held) = full(2);
    let (done, all_done) = mpsc::channel();
    for _ in 0..THREADS {
        let (balancer, done) = (Arc::clone(&balancer), done.clone());
        let work = move || {
            (0..300).for_each(|_| drop(place(&balancer)));
            done.send(()).unwrap();
        };
        // Not scoped: a thread that hangs fails the test.
        thread::Builder::new().spawn(work).unwrap();
    }
    drop(held);
    for _ in 0..THREADS {
        all_done.recv_timeout(Duration::from_secs(60)).expect("a waiter hangs");
    }
    assert_eq!((balancer.waiting(), balancer.requests()), (0, 2 + 300 * THREADS as u64));
}
