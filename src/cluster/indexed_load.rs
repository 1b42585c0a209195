//! An upstream's load and availability, and its positions on the bitmaps of the [`LoadIndex`].
//!
//! # Why no upstream is lost from the index
//!
//! The position of an upstream on a bitmap is a function of three values: its count in flight, its availability and its
//! slot. A thread that changes one of them then performs a read-modify-write on the count (a lease does so by changing
//! it). These operations have one total order, so the last thread in it knows all three values and sets the bit of the
//! right position.
//!
//! A thread that was earlier in the order may clear that bit again, since it knew less. But each thread, after it
//! cleared a bit, reads the three values again. It cleared the bit by a read-modify-write of the word in which the last
//! thread had set it, so it synchronizes with the last thread, sees what that one saw, and sets the bit again. A stale
//! bit may remain for a while: a reader that finds an upstream compares the position with the upstream's state, and
//! clears the bit if they differ.
//!
//! Positions are reused when another policy takes a bitmap. A lease that was suspended meanwhile may clear the bit of
//! another upstream. By the same argument it then sees that its slot has changed, and marks the bitmap as disturbed;
//! the bitmap's owner then sets the bits of all its members again ([`LoadOrder::repair`](super::LoadOrder::repair)).
//!
//! The loom models below check this with leases, changes of availability, readers, and policies that come and go.

use super::load::Load;
use super::load_index::{BITMAPS, IndexSlot, LoadIndex};
use crate::sync::{AtomicU8, AtomicU64, Ordering};
use std::sync::Arc;

const SERVING: u8 = 1;
const ACCEPTING: u8 = 2;

/// The two availability bits of an upstream. They are apart because an upstream can be full without being down: it goes
/// on serving its sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Availability {
    /// It serves the sessions it has: pinned requests go to it.
    pub serving: bool,
    /// It takes new sessions: policies may choose it.
    pub accepting: bool,
}

impl Availability {
    /// Serves and accepts: the initial value of every upstream.
    pub const ACTIVE: Self = Self { serving: true, accepting: true };
    /// Serves its sessions and accepts no new ones: full, ejected or draining.
    pub const DRAINING: Self = Self { serving: true, accepting: false };
    /// Neither serves nor accepts.
    pub const DOWN: Self = Self { serving: false, accepting: false };
}

#[derive(Debug)]
pub(crate) struct IndexedLoad {
    load: Load,
    /// The packed [`IndexSlot`] on each bitmap, 0 for none.
    slots: [AtomicU64; BITMAPS],
    load_index: Arc<LoadIndex>,
    availability: AtomicU8,
}

impl IndexedLoad {
    pub(super) fn new(load_index: Arc<LoadIndex>) -> Self {
        Self {
            load: Load::new(),
            slots: [(); BITMAPS].map(|()| AtomicU64::new(0)),
            load_index,
            availability: AtomicU8::new(SERVING | ACCEPTING),
        }
    }

    pub(super) fn load(&self) -> &Load {
        &self.load
    }

    /// Counts one more in flight, unless `limit` are already (0: no limit). Without a slot it costs one load per bitmap
    /// more than the count.
    pub(super) fn acquire(&self, limit: u32) -> bool {
        let before = self.load.acquire(limit);
        if let Some(before) = before {
            self.moved(before);
        }
        before.is_some()
    }

    /// Counts one less in flight; returns whether a waiter wants to know of the free place.
    #[must_use]
    pub(super) fn release(&self) -> bool {
        let (before, is_watched) = self.load.release();
        self.moved(before);
        is_watched
    }

    /// Moves the upstream on each bitmap, after its count was `before`.
    fn moved(&self, before: u32) {
        for (index, slot) in self.slots.iter().enumerate() {
            let word = slot.load(Ordering::Relaxed);
            if word != 0 {
                self.settle(index, word, IndexSlot::unpack(word).position(before));
            }
        }
    }

    pub(super) fn availability(&self) -> Availability {
        let bits = self.availability.load(Ordering::Relaxed);
        Availability { serving: bits & SERVING != 0, accepting: bits & ACCEPTING != 0 }
    }

    /// Returns whether the availability changed and a waiter wants to know of it.
    #[must_use]
    pub(super) fn set_availability(&self, availability: Availability) -> bool {
        let accepting = availability.serving && availability.accepting;
        let bits = (u8::from(availability.serving) * SERVING) | (u8::from(accepting) * ACCEPTING);
        let before = self.availability.swap(bits, Ordering::Relaxed);
        if before == bits {
            return false;
        }
        let (in_flight, is_watched) = self.load.pass();
        if (before ^ bits) & ACCEPTING != 0 {
            self.moved(in_flight);
        }
        is_watched
    }

    /// Takes `slot` on a bitmap on which it has none.
    pub(super) fn take_slot(&self, index: usize, slot: IndexSlot) {
        let slot = slot.pack();
        self.slots[index].store(slot, Ordering::Relaxed);
        self.load.pass();
        self.settle(index, slot, None);
    }

    /// Leaves its slot. The bit of its position stays set until the next owner of the bitmap clears it.
    pub(super) fn leave_slot(&self, index: usize) {
        self.slots[index].store(0, Ordering::Relaxed);
    }

    /// Whether `position` is its position on a bitmap. If not, clears that bit and sets the right one.
    pub(super) fn confirm(&self, index: usize, position: usize) -> bool {
        let slot = self.slot(index);
        let stands = self.belongs(slot) == Some(position);
        if !stands {
            self.settle(index, slot, Some(position));
        }
        stands
    }

    /// Sets the bit of its position, in case a late lease cleared it.
    pub(super) fn restore(&self, index: usize) {
        self.settle(index, self.slot(index), None);
    }

    fn slot(&self, index: usize) -> u64 {
        self.slots[index].load(Ordering::Relaxed)
    }

    fn belongs(&self, slot: u64) -> Option<usize> {
        if slot == 0 || !self.availability().accepting {
            return None;
        }
        IndexSlot::unpack(slot).position(self.load.in_flight())
    }

    /// Sets the bit of its position by `slot` and then clears the bit at `stood`; in this order, so that a search can
    /// find it at any time.
    fn settle(&self, index: usize, slot: u64, mut stood: Option<usize>) {
        let Some(bitmap) = self.load_index.bitmap(index) else { return };
        loop {
            let belongs = self.belongs(slot);
            if let Some(position) = belongs {
                bitmap.bits.insert(position);
            }
            if let Some(position) = stood
                && belongs != stood
            {
                bitmap.bits.remove(position);
            }
            if self.slot(index) != slot {
                return bitmap.disturb();
            }
            if self.belongs(slot) == belongs {
                return;
            }
            stood = belongs;
        }
    }
}

#[cfg(test)]
#[cfg(homing_loom)]
mod loom_tests {
    use super::*;
    use crate::sync::model;
    use loom::thread;

    /// Each level has a word of its own, so that a move crosses words.
    const SLOT: IndexSlot = IndexSlot { first: 0, shift: 6, levels: 4, limit: 0 };

    fn load_order() -> Arc<IndexedLoad> {
        let load_index = Arc::new(LoadIndex::with_positions(4 * 64));
        let bitmap = load_index.take().unwrap();
        let indexed_load = IndexedLoad::new(load_index);
        indexed_load.take_slot(bitmap, SLOT);
        Arc::new(indexed_load)
    }

    fn stands_at(indexed_load: &IndexedLoad, position: usize) -> bool {
        let bits = &indexed_load.load_index.bitmap(0).unwrap().bits;
        bits.first(position, position + 1).is_some()
    }

    fn assert_it_is_indexed(indexed_load: &IndexedLoad) {
        let position = indexed_load.belongs(indexed_load.slot(0));
        assert!(position.is_none_or(|position| stands_at(indexed_load, position)), "it is lost");
    }

    /// After two threads act on one upstream concurrently, the bit of its position is set.
    fn the_upstream_stays_indexed(one: fn(&IndexedLoad), other: fn(&IndexedLoad)) {
        model(move || {
            let indexed_load = load_order();
            let same = Arc::clone(&indexed_load);
            let thread = thread::spawn(move || one(&same));
            other(&indexed_load);
            thread.join().unwrap();
            assert_it_is_indexed(&indexed_load);
        });
    }

    fn come(indexed_load: &IndexedLoad) {
        assert!(indexed_load.acquire(0));
    }

    fn come_and_go(indexed_load: &IndexedLoad) {
        come(indexed_load);
        assert!(!indexed_load.release());
    }

    fn set(indexed_load: &IndexedLoad, availability: Availability) {
        assert!(!indexed_load.set_availability(availability));
    }

    #[test]
    fn loom_the_upstream_stays_indexed_between_leases() {
        the_upstream_stays_indexed(come, come_and_go);
        the_upstream_stays_indexed(come_and_go, come_and_go);
    }

    /// Control of the model: a move without reading the state a second time.
    #[test]
    #[should_panic(expected = "it is lost")]
    fn loom_a_move_without_a_second_read_is_caught() {
        fn moved(indexed_load: &IndexedLoad, from: u32, to: u32) {
            let bits = &indexed_load.load_index.bitmap(0).unwrap().bits;
            bits.insert(SLOT.position(to).unwrap());
            bits.remove(SLOT.position(from).unwrap());
        }
        the_upstream_stays_indexed(come, |indexed_load| {
            let before = indexed_load.load.acquire(0).unwrap();
            moved(indexed_load, before, before + 1);
            let (before, _) = indexed_load.load.release();
            moved(indexed_load, before, before - 1);
        });
    }

    /// The availability changes while a lease is taken.
    #[test]
    fn loom_the_upstream_stays_indexed_between_a_lease_and_a_change_of_availability() {
        the_upstream_stays_indexed(come, |indexed_load| set(indexed_load, Availability::DOWN));
        the_upstream_stays_indexed(come, |indexed_load| {
            set(indexed_load, Availability::DOWN);
            set(indexed_load, Availability::ACTIVE);
        });
    }

    /// A reader that found a stale bit clears it while the upstream returns to that position.
    #[test]
    fn loom_the_upstream_stays_indexed_despite_a_reader() {
        the_upstream_stays_indexed(come_and_go, |indexed_load| {
            for level in 0..2 {
                indexed_load.confirm(0, SLOT.position(level).unwrap());
            }
        });
    }

    /// A policy takes its slots while a lease is taken.
    fn the_upstream_stays_indexed_while_slots_are_taken(take_slot: fn(&IndexedLoad, usize)) {
        model(move || {
            let load_index = Arc::new(LoadIndex::with_positions(4 * 64));
            let bitmap = load_index.take().unwrap();
            let indexed_load = Arc::new(IndexedLoad::new(load_index));
            let same = Arc::clone(&indexed_load);
            let thread = thread::spawn(move || come(&same));
            take_slot(&indexed_load, bitmap);
            thread.join().unwrap();
            assert_it_is_indexed(&indexed_load);
        });
    }

    #[test]
    fn loom_the_upstream_stays_indexed_while_slots_are_taken() {
        the_upstream_stays_indexed_while_slots_are_taken(|indexed_load, bitmap| indexed_load.take_slot(bitmap, SLOT));
        the_upstream_stays_indexed_while_slots_are_taken(|indexed_load, bitmap| {
            indexed_load.take_slot(bitmap, SLOT);
            set(indexed_load, Availability::DOWN);
            set(indexed_load, Availability::ACTIVE);
        });
    }

    /// Control of the model: a slot that is taken without a read-modify-write of the count.
    #[test]
    #[should_panic(expected = "it is lost")]
    fn loom_a_slot_taken_past_the_count_is_caught() {
        the_upstream_stays_indexed_while_slots_are_taken(|indexed_load, bitmap| {
            indexed_load.slots[bitmap].store(SLOT.pack(), Ordering::Relaxed);
            indexed_load.settle(bitmap, SLOT.pack(), None);
        });
    }

    /// A late lease: another policy has taken the bitmap, and the old position is another upstream's now.
    fn the_upstream_stays_indexed_despite_a_late_lease(repair: fn(&IndexedLoad)) {
        model(move || {
            let old = load_order();
            let new = Arc::new(IndexedLoad::new(Arc::clone(&old.load_index)));
            let same = Arc::clone(&old);
            let late = thread::spawn(move || come(&same));
            old.leave_slot(0);
            new.load_index.bitmap(0).unwrap().bits.clear();
            new.take_slot(0, SLOT);
            late.join().unwrap();
            repair(&new);
            assert_it_is_indexed(&new);
        });
    }

    #[test]
    fn loom_the_upstream_stays_indexed_despite_a_late_lease() {
        the_upstream_stays_indexed_despite_a_late_lease(|indexed_load| {
            if indexed_load.load_index.bitmap(0).unwrap().disturbed.load(Ordering::Acquire) {
                indexed_load.restore(0);
            }
        });
    }

    /// Control of the model: the owner ignores that its bitmap is disturbed.
    #[test]
    #[should_panic(expected = "it is lost")]
    fn loom_ignoring_a_disturbed_bitmap_is_caught() {
        the_upstream_stays_indexed_despite_a_late_lease(|_| ());
    }
}
