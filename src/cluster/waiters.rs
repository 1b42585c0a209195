//! Requests that wait for a free place: first come, first served, by what each can take.
//!
//! A waiter is on one of several lists: for a place at any upstream, or at one upstream. A place that comes free is
//! offered to the waiter that has waited longest of those that could take it. Nothing is handed over: a woken waiter
//! picks again, and keeps its position if that fails. The list knows no executor, it calls [`Waker`]s.
//!
//! # Why no wake is lost
//!
//! A lease that ends must not pay for waiters while there are none, so the upstream's load word has a bit that says
//! whether it is watched ([`Load::watch`]), and the subtraction that ends a lease reads it. A waiter enters its list,
//! then sets the bit of each upstream it could take, and then picks once more. All operations on the word have one
//! total order. A lease that ends before the bit is set has made a place that the pick finds; one that ends after it
//! sees the bit, takes the lock, and finds the waiter on its list, since the subtraction synchronizes with the setting
//! of the bit. The bit is cleared with the lock held, when no waiter could take a place there. Changes of availability
//! go through the same word; changes of the cluster through the lock alone. The loom models below check this.
//!
//! A waiter that is not the first of its list need not pick once more: the one before it does, and wakes it when it has
//! been served or has left.

use super::load::Load;
use super::{Decision, UpstreamId};
use crate::sync::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

/// What a request waits for. See [`Balancer::waiter`](crate::Balancer::waiter).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WaitFor {
    /// A place at any upstream.
    Any,
    /// A place at this upstream, to which the session is
    /// [pinned](crate::Balancer::pinned_upstream).
    Upstream(UpstreamId),
}

/// Why a waiter was woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WakeReason {
    /// A place at this upstream came free.
    Place(UpstreamId),
    /// It is the first of its list, and there may be a place.
    First,
}

/// The waiters of a balancer.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// How many wait. Written with the lock held.
    count: AtomicUsize,
    lists: Mutex<WaitLists>,
}

#[derive(Debug, Default)]
struct WaitLists {
    /// Waiters are numbered in the order of arrival.
    last_number: u64,
    /// No list is empty.
    lists: HashMap<WaitFor, BTreeMap<u64, Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    woken: Option<WakeReason>,
    waker: Waker,
}

impl Waiters {
    /// How many wait. One relaxed load.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The number of a waiter that arrives now.
    pub(crate) fn next_number(&self) -> u64 {
        let mut lists = self.lists.lock();
        lists.last_number += 1;
        lists.last_number
    }

    /// Puts a waiter on a list, at the position of its number. `watch` is called with the lock held, and watches all
    /// upstreams whose places it could take.
    pub(crate) fn enter(&self, number: u64, target: WaitFor, watch: impl FnOnce()) {
        let mut lists = self.lists.lock();
        let list = lists.lists.entry(target).or_default();
        // A place may have come free before the upstreams were watched.
        let is_first = list.keys().next().is_none_or(|first| *first > number);
        list.insert(number, Waiter { woken: is_first.then_some(WakeReason::First), waker: Waker::noop().clone() });
        self.count.store(self.count() + 1, Ordering::Relaxed);
        watch();
    }

    /// Why the waiter was woken since the last call; otherwise `waker` is called when it is.
    pub(crate) fn poll(&self, number: u64, target: WaitFor, waker: &Waker) -> Option<WakeReason> {
        let mut lists = self.lists.lock();
        let waiter = lists.lists.get_mut(&target)?.get_mut(&number)?;
        let woken = waiter.woken.take();
        let replaced = match woken.is_none() && !waiter.waker.will_wake(waker) {
            true => Some(std::mem::replace(&mut waiter.waker, waker.clone())),
            false => None,
        };
        // What a waker's drop runs must not find the lock held.
        drop(lists);
        drop(replaced);
        woken
    }

    /// Takes a waiter off its list. `unused` is the reason for which it was woken last, if it has not been served; it
    /// goes to the next waiter, and so does a wake that it has not polled. With `more` the next one of its list is woken
    /// in any case: there may be more places.
    pub(crate) fn leave(&self, number: u64, target: WaitFor, unused: Option<WakeReason>, more: bool) {
        let mut lists = self.lists.lock();
        let waiter = lists.remove(number, target);
        self.count.store(self.count().saturating_sub(usize::from(waiter.is_some())), Ordering::Relaxed);
        let unpolled = waiter.as_ref().and_then(|waiter| waiter.woken);
        let reasons = [unpolled, unused, more.then_some(WakeReason::First)];
        let woken = reasons.map(|reason| match reason? {
            WakeReason::Place(upstream) => lists.offer(upstream),
            WakeReason::First => lists.wake(target, WakeReason::First),
        });
        drop(lists);
        woken.into_iter().flatten().for_each(Waker::wake);
    }

    /// A waiter for [`Any`](WaitFor::Any) place could not take the one at `upstream` that it was offered; a waiter for
    /// that upstream might.
    pub(crate) fn pass_on(&self, upstream: UpstreamId) {
        let woken = self.lists.lock().wake(WaitFor::Upstream(upstream), WakeReason::Place(upstream));
        woken.into_iter().for_each(Waker::wake);
    }

    /// A place at `upstream`, whose load this is, came free while it was watched.
    #[cold]
    pub(crate) fn freed(&self, upstream: UpstreamId, load: &Load) {
        let woken = {
            let mut lists = self.lists.lock();
            match lists.concerns(upstream) {
                true => lists.offer(upstream),
                false => {
                    load.unwatch();
                    None
                }
            }
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// The availability of `upstream`, whose load this is, changed while it was watched: it may have any number of
    /// places, or sessions that wait for it may have to go elsewhere.
    #[cold]
    pub(crate) fn availability_changed(&self, upstream: UpstreamId, load: &Load) {
        let woken = {
            let mut lists = self.lists.lock();
            if !lists.concerns(upstream) {
                load.unwatch();
            }
            [WaitFor::Any, WaitFor::Upstream(upstream)].map(|target| lists.wake(target, WakeReason::First))
        };
        woken.into_iter().flatten().for_each(Waker::wake);
    }

    /// Another cluster, or other settings, were published. `watch` watches all its upstreams.
    pub(crate) fn cluster_changed(&self, watch: impl FnOnce()) {
        let woken: Vec<Waker> = {
            let mut lists = self.lists.lock();
            if lists.lists.is_empty() {
                return;
            }
            watch();
            let targets: Vec<WaitFor> = lists.lists.keys().copied().collect();
            targets.into_iter().filter_map(|target| lists.wake(target, WakeReason::First)).collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether the waiter is the first of its list.
    pub(crate) fn is_first(&self, number: u64, target: WaitFor) -> bool {
        self.lists.lock().first(target) == Some(number)
    }

    /// Whether another waiter has waited longer than the one of this number for a place at `upstream` and nowhere else.
    pub(crate) fn is_behind(&self, number: u64, upstream: UpstreamId) -> bool {
        self.lists.lock().first(WaitFor::Upstream(upstream)).is_some_and(|first| first < number)
    }

    /// Whether a request that is placed on `upstream` without having waited overtakes a waiter. A pinned session
    /// overtakes those that wait for the same upstream alone: others do not compete for its place.
    pub(crate) fn are_overtaken(&self, decision: Decision, upstream: UpstreamId) -> bool {
        let lists = self.lists.lock();
        let has_waiters = |target| lists.lists.contains_key(&target);
        has_waiters(WaitFor::Upstream(upstream)) || (decision != Decision::Pinned && has_waiters(WaitFor::Any))
    }
}

impl WaitLists {
    fn first(&self, target: WaitFor) -> Option<u64> {
        self.lists.get(&target)?.keys().next().copied()
    }

    /// Whether a waiter could take a place at `upstream`.
    fn concerns(&self, upstream: UpstreamId) -> bool {
        [WaitFor::Any, WaitFor::Upstream(upstream)].iter().any(|target| self.lists.contains_key(target))
    }

    fn remove(&mut self, number: u64, target: WaitFor) -> Option<Waiter> {
        let list = self.lists.get_mut(&target)?;
        let waiter = list.remove(&number);
        if list.is_empty() {
            self.lists.remove(&target);
        }
        waiter
    }

    /// Offers a place at `upstream` to the waiter that has waited longest and is not woken yet.
    fn offer(&mut self, upstream: UpstreamId) -> Option<Waker> {
        let targets = [WaitFor::Any, WaitFor::Upstream(upstream)];
        let first = targets
            .into_iter()
            .filter_map(|target| Some((self.first_unwoken(target)?, target)))
            .min_by_key(|(n, _)| *n);
        self.wake(first?.1, WakeReason::Place(upstream))
    }

    fn first_unwoken(&self, target: WaitFor) -> Option<u64> {
        self.lists.get(&target)?.iter().find(|(_, waiter)| waiter.woken.is_none()).map(|(number, _)| *number)
    }

    /// Wakes the first waiter of a list that is not woken yet: returns its waker, to be called without the lock.
    #[must_use]
    fn wake(&mut self, target: WaitFor, why: WakeReason) -> Option<Waker> {
        let waiter = self.lists.get_mut(&target)?.values_mut().find(|waiter| waiter.woken.is_none())?;
        waiter.woken = Some(why);
        Some(waiter.waker.clone())
    }
}

#[cfg(test)]
#[cfg(homing_loom)]
mod loom_tests {
    use super::*;
    use crate::sync::{model, model_within};
    use loom::sync::Notify;
    use loom::thread;
    use std::sync::Arc;
    use std::task::Wake;

    const UPSTREAM: UpstreamId = UpstreamId(1);

    /// A waker that a thread blocks on.
    struct Blocking(Notify);

    impl Wake for Blocking {
        fn wake(self: Arc<Self>) {
            self.0.notify();
        }
    }

    /// One upstream with a limit of one, and its waiters.
    #[derive(Debug)]
    struct Place {
        load: Load,
        waiters: Waiters,
    }

    impl Place {
        /// With its only place taken.
        fn taken() -> loom::sync::Arc<Self> {
            let place = Self { load: Load::new(), waiters: Waiters::default() };
            assert!(place.load.acquire(1).is_some());
            loom::sync::Arc::new(place)
        }

        fn release(&self) {
            let (_, is_watched) = self.load.release();
            if is_watched {
                self.waiters.freed(UPSTREAM, &self.load);
            }
        }

        /// Waits until the place is taken by this thread. A lost wake is a deadlock, which loom reports.
        fn wait(&self, target: WaitFor, watch: impl Fn(&Load)) {
            if self.load.acquire(1).is_some() {
                return;
            }
            let blocking = Arc::new(Blocking(Notify::new()));
            let waker = Waker::from(Arc::clone(&blocking));
            let number = self.waiters.next_number();
            self.waiters.enter(number, target, || watch(&self.load));
            loop {
                match self.waiters.poll(number, target, &waker) {
                    Some(_) if self.load.acquire(1).is_some() => break,
                    Some(_) => {}
                    None => blocking.0.wait(),
                }
            }
            self.waiters.leave(number, target, None, true);
        }
    }

    #[test]
    fn loom_no_wake_is_lost() {
        for target in [WaitFor::Any, WaitFor::Upstream(UPSTREAM)] {
            model(move || {
                let place = Place::taken();
                let other = place.clone();
                let holder = thread::spawn(move || other.release());
                place.wait(target, Load::watch);
                holder.join().unwrap();
                assert_eq!(place.load.in_flight(), 1);
            });
        }
    }

    /// Two wait for one place; each gives it back.
    #[test]
    fn loom_each_of_two_waiters_is_served() {
        model_within(2, || {
            let place = Place::taken();
            let [second, holder] = [place.clone(), place.clone()];
            let holder = thread::spawn(move || holder.release());
            let second = thread::spawn(move || {
                second.wait(WaitFor::Any, Load::watch);
                second.release();
            });
            place.wait(WaitFor::Upstream(UPSTREAM), Load::watch);
            place.release();
            second.join().unwrap();
            holder.join().unwrap();
            assert_eq!((place.load.in_flight(), place.waiters.count()), (0, 0));
        });
    }

    /// Control of the model: a waiter that enters its list, but does not watch the upstream.
    #[test]
    #[should_panic(expected = "deadlock")]
    fn loom_a_waiter_that_watches_nothing_is_caught() {
        model(|| {
            let place = Place::taken();
            let other = place.clone();
            let holder = thread::spawn(move || other.release());
            place.wait(WaitFor::Any, |_| ());
            holder.join().unwrap();
        });
    }

    /// Control of the model: the bit is read before the place is free, and not by the subtraction that frees it.
    #[test]
    #[should_panic(expected = "deadlock")]
    fn loom_reading_the_bit_before_the_place_is_free_is_caught() {
        model(|| {
            let place = Place::taken();
            let other = place.clone();
            let holder = thread::spawn(move || {
                let is_watched = other.load.is_watched();
                other.load.release();
                if is_watched {
                    other.waiters.freed(UPSTREAM, &other.load);
                }
            });
            place.wait(WaitFor::Any, Load::watch);
            holder.join().unwrap();
        });
    }
}
