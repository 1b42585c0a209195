//! The two counters of an upstream that every pick touches, requests in flight and requests in total, in one word, with
//! a bit that says whether a waiter wants to know of a free place.
//!
//! A limit is exact: there are never more leases than `max_in_flight`, and a request is never refused while there is
//! room. The loom models below check every interleaving.

use crate::sync::{AtomicU64, Ordering};
use crate::time::Timestamp;

const IN_FLIGHT_BITS: u32 = 23;
const IN_FLIGHT: u64 = (1 << IN_FLIGHT_BITS) - 1;
/// A waiter wants to know of a free place: see [`waiters`](super::waiters).
const WATCHED: u64 = 1 << IN_FLIGHT_BITS;
const TOTAL_SHIFT: u32 = IN_FLIGHT_BITS + 1;
/// One more request in flight and one more in total, as a single addition.
const ONE: u64 = (1 << TOTAL_SHIFT) | 1;
/// The most requests that can be in flight on one upstream. Far below 2^23, so that the additions of racing threads,
/// before they are undone, can never carry into the bit above.
pub(crate) const MAX_IN_FLIGHT: u32 = 1 << 22;

const TOTAL_BITS: u32 = 64 - TOTAL_SHIFT;
const TOTAL: u64 = (1 << TOTAL_BITS) - 1;

/// One word holds the requests in flight (23 bits), whether it is watched (1 bit), and the total leased (40 bits,
/// wrapping); another holds the total at the start of the current second.
#[derive(Debug)]
pub(crate) struct Load {
    word: AtomicU64,
    /// A second (24 bits, wrapping) and the total at its beginning (40 bits).
    mark: AtomicU64,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(0), mark: AtomicU64::new(0) }
    }

    /// Counts one more in flight and returns how many there were before, or `None` if `limit` are already (0: no limit
    /// but [`MAX_IN_FLIGHT`]).
    ///
    /// The read-modify-write operations of one word have one total order, which alone makes the limit exact. They
    /// acquire and release for [`IndexedLoad`](super::indexed_load::IndexedLoad), which needs what happened before in
    /// that order.
    pub(crate) fn acquire(&self, limit: u32) -> Option<u32> {
        if limit == 0 {
            let before = self.word.fetch_add(ONE, Ordering::AcqRel) & IN_FLIGHT;
            if before < u64::from(MAX_IN_FLIGHT) {
                return Some(before as u32);
            }
            self.word.fetch_sub(ONE, Ordering::Relaxed);
            return None;
        }
        // With a limit, an addition that is undone again would let a racing thread see "full" while there is room; a
        // compare-exchange grants exactly `limit`.
        let limit = u64::from(limit.min(MAX_IN_FLIGHT));
        let mut seen = self.word.load(Ordering::Relaxed);
        while seen & IN_FLIGHT < limit {
            match self.word.compare_exchange_weak(seen, seen.wrapping_add(ONE), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(before) => return Some((before & IN_FLIGHT) as u32),
                Err(now) => seen = now,
            }
        }
        None
    }

    /// Counts one less in flight; returns how many there were before, and whether the free place is
    /// [watched](Self::watch). Call it once for each `acquire` that granted.
    pub(crate) fn release(&self) -> (u32, bool) {
        parts(self.word.fetch_sub(1, Ordering::AcqRel))
    }

    /// The requests in flight and whether it is watched, read by a read-modify-write, so that the read has a place in
    /// the order of `acquire` and `release`: it synchronizes with the operations before it, and those after it
    /// synchronize with the caller.
    pub(crate) fn pass(&self) -> (u32, bool) {
        parts(self.word.fetch_add(0, Ordering::AcqRel))
    }

    /// From now on [`release`](Self::release) says that it is watched. Call it with the waiters' lock held: then a bit
    /// that is set already stays set, and a relaxed load suffices.
    pub(crate) fn watch(&self) {
        if !self.is_watched() {
            self.word.fetch_or(WATCHED, Ordering::AcqRel);
        }
    }

    /// No waiter could take a place. Call it with the waiters' lock held.
    pub(crate) fn unwatch(&self) {
        self.word.fetch_and(!WATCHED, Ordering::AcqRel);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.word.load(Ordering::Relaxed) & WATCHED != 0
    }

    pub(crate) fn in_flight(&self) -> u32 {
        (self.word.load(Ordering::Relaxed) & IN_FLIGHT) as u32
    }

    pub(crate) fn total(&self) -> u64 {
        self.word.load(Ordering::Relaxed) >> TOTAL_SHIFT
    }

    /// The requests leased so far in the second of `now`.
    ///
    /// The first reader of a new second sets the mark with a plain store. Two readers that race may be off by a few
    /// requests, which is precise enough for breaking ties.
    pub(crate) fn recent(&self, now: Timestamp) -> u64 {
        let second = now.as_secs() << TOTAL_BITS;
        // Read the mark before the total, with acquire: then the total that its writer saw is not ahead of this one.
        let mark = self.mark.load(Ordering::Acquire);
        let total = self.total();
        if mark & !TOTAL == second {
            total.wrapping_sub(mark) & TOTAL
        } else {
            self.mark.store(second | total, Ordering::Release);
            0
        }
    }
}

/// The requests in flight of a word, and whether it is watched.
const fn parts(word: u64) -> (u32, bool) {
    ((word & IN_FLIGHT) as u32, word & WATCHED != 0)
}

#[cfg(all(test, not(homing_loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_in_flight_and_total_apart() {
        let load = Load::new();
        assert_eq!([load.acquire(0), load.acquire(0), load.acquire(3)], [Some(0), Some(1), Some(2)]);
        assert_eq!((load.release(), load.pass()), ((3, false), (2, false)));
        assert_eq!((load.in_flight(), load.total()), (2, 3));
        assert_eq!(load.acquire(3), Some(2));
        assert_eq!(load.acquire(3), None);
        assert_eq!((load.in_flight(), load.total()), (3, 4));
    }

    #[test]
    fn the_bit_of_waiters_leaves_the_counters_alone() {
        let load = Load::new();
        load.watch();
        assert_eq!([load.acquire(0), load.acquire(2), load.acquire(2)], [Some(0), Some(1), None]);
        assert_eq!((load.pass(), load.release(), load.total()), ((2, true), (2, true), 2));
        load.unwatch();
        assert_eq!((load.release(), load.in_flight(), load.total()), ((1, false), 0, 2));
    }

    #[test]
    fn the_hard_limit_holds_and_leaves_the_total_alone() {
        let load = Load::new();
        load.word.store(u64::from(MAX_IN_FLIGHT) - 1, Ordering::Relaxed);
        assert!(load.acquire(0).is_some());
        assert!(load.acquire(0).is_none() && load.acquire(u32::MAX).is_none());
        assert_eq!((load.in_flight(), load.total()), (MAX_IN_FLIGHT, 1));
    }

    #[test]
    fn the_recent_count_restarts_each_second() {
        let load = Load::new();
        let at = Timestamp::from_secs(1_700_000_000);
        assert!(load.acquire(0).is_some());
        assert_eq!(load.recent(at), 0);
        assert!(load.acquire(0).is_some() && load.acquire(0).is_some());
        assert_eq!(load.recent(at), 2);
        assert_eq!(load.recent(Timestamp::from_secs(1_700_000_001)), 0);
    }
}

#[cfg(test)]
#[cfg(homing_loom)]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Every interleaving of two threads that each acquire and release: the leases never exceed the limit, at least one
    /// is granted, and in the end none is in flight.
    fn the_limit_is_exact(acquire: fn(&Load, u32) -> bool) {
        loom::model(move || {
            let load = Arc::new(Load::new());
            let holders = Arc::new(AtomicU64::new(0));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (load, holders) = (load.clone(), holders.clone());
                    thread::spawn(move || {
                        let granted = acquire(&load, 1);
                        if granted {
                            assert_eq!(holders.fetch_add(1, Ordering::Relaxed), 0, "two hold a limit of one");
                            holders.fetch_sub(1, Ordering::Relaxed);
                            load.release();
                        }
                        granted
                    })
                })
                .collect();
            let granted: Vec<bool> = threads.into_iter().map(|t| t.join().unwrap()).collect();
            assert!(granted.contains(&true), "a limit of one refused both");
            assert_eq!(load.in_flight(), 0);
            assert_eq!(load.total(), granted.iter().filter(|g| **g).count() as u64);
        });
    }

    #[test]
    fn loom_the_limit_is_exact() {
        the_limit_is_exact(|load, limit| load.acquire(limit).is_some());
    }

    /// Control of the model: reading and then adding grants one place twice.
    #[test]
    #[should_panic(expected = "two hold a limit of one")]
    fn loom_reading_before_adding_is_caught() {
        the_limit_is_exact(|load, limit| {
            let room = load.in_flight() < limit;
            if room {
                load.word.fetch_add(ONE, Ordering::Relaxed);
            }
            room
        });
    }

    /// A thread that acquires after its release gets the place, unless the other thread got it in between.
    fn a_free_place_is_granted(acquire: fn(&Load, u32) -> bool) {
        loom::model(move || {
            let load = Arc::new(Load::new());
            assert!(acquire(&load, 1));
            let other = load.clone();
            let other = thread::spawn(move || acquire(&other, 1));
            load.release();
            let again = acquire(&load, 1);
            assert!(other.join().unwrap() != again, "a free place was refused");
        });
    }

    #[test]
    fn loom_a_free_place_is_granted() {
        a_free_place_is_granted(|load, limit| load.acquire(limit).is_some());
    }

    /// Control of the model: adding first and undoing what exceeds the limit.
    #[test]
    #[should_panic(expected = "a free place was refused")]
    fn loom_adding_before_reading_is_caught() {
        a_free_place_is_granted(|load, limit| {
            let room = load.word.fetch_add(ONE, Ordering::Relaxed) & IN_FLIGHT < u64::from(limit);
            if !room {
                load.word.fetch_sub(ONE, Ordering::Relaxed);
            }
            room
        });
    }

    /// Leases without a limit are always granted, and no count is lost beside a limited lease.
    #[test]
    fn loom_no_count_is_lost() {
        loom::model(|| {
            let load = Arc::new(Load::new());
            let other = load.clone();
            let unlimited = thread::spawn(move || {
                assert!(other.acquire(0).is_some());
                other.release();
                assert!(other.acquire(0).is_some());
            });
            let limited = load.acquire(2).is_some();
            unlimited.join().unwrap();
            assert_eq!(load.in_flight(), 1 + u32::from(limited));
        });
    }

    /// The mark of a second is racy by design, but the recent count never exceeds the total.
    #[test]
    fn loom_recent_is_bounded_by_the_total() {
        loom::model(|| {
            let load = Arc::new(Load::new());
            let other = load.clone();
            let reader = thread::spawn(move || other.recent(Timestamp::from_secs(7)));
            assert!(load.acquire(0).is_some());
            let ours = load.recent(Timestamp::from_secs(7));
            let theirs = reader.join().unwrap();
            assert!(ours <= 1 && theirs <= 1, "{ours} {theirs}");
        });
    }
}
