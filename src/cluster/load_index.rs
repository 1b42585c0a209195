//! The load index: bitmaps on which a policy finds the least loaded upstreams of a cluster.
//!
//! A [`LoadBitmap`] is a set of positions. An [`IndexSlot`] maps the load of one upstream to its position on a bitmap:
//! one level higher for each request in flight. A policy takes a bitmap of the [`LoadIndex`] for itself, gives each
//! upstream of its cluster a slot on it, and finds the least loaded upstream at the lowest position that is set.
//! [`IndexedLoad`](super::indexed_load::IndexedLoad) moves the upstreams as leases begin and end, so `least_conn` finds
//! the exact minimum without a scan of all upstreams. [`LeastConn`](crate::policy::LeastConn) has the rationale and its
//! costs.
//!
//! Leases reach the index through their upstream, and outlive policies and clusters. So an index belongs to a sequence
//! of clusters, each made from the one before, and its bitmaps are reused and never freed: what a lease reads needs no
//! protection from being freed.

use super::bits::Bits;
use super::load::MAX_IN_FLIGHT;
use crate::sync::{AtomicBool, Ordering};
use std::fmt;
use std::sync::OnceLock;

/// The bitmaps of an index: one for the policy in force, one for its successor while that is built, and one for a
/// snapshot that is still held.
pub(super) const BITMAPS: usize = 3;

/// The positions of a bitmap, 256 KiB of bits: enough to tell all loads apart up to a million requests in flight.
pub(super) const POSITIONS: usize = 1 << FIRST_BITS;

const LIMIT_BITS: u32 = 24;
const SHIFT_BITS: u32 = 4;
const LEVELS_BITS: u32 = 15;
const FIRST_BITS: u32 = 21;

/// The positions of one upstream on a bitmap, by its requests in flight. Fits into one atomic word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IndexSlot {
    /// The position with nothing in flight.
    pub(crate) first: usize,
    /// Levels are 2^`shift` positions apart, at most 2^15.
    pub(crate) shift: u32,
    /// The number of levels, 1 to [`MAX_LEVELS`](Self::MAX_LEVELS). All higher loads are on the last level.
    pub(crate) levels: usize,
    /// With this many or more in flight it has no position; 0 is no limit.
    pub(crate) limit: u32,
}

impl IndexSlot {
    pub(crate) const MAX_LEVELS: usize = (1 << LEVELS_BITS) - 1;

    /// As a word, which is never 0.
    pub(super) fn pack(self) -> u64 {
        let Self { first, shift, levels, limit } = self;
        let limit = limit.min(MAX_IN_FLIGHT);
        let upper = (first as u64) << LEVELS_BITS | levels as u64;
        (upper << SHIFT_BITS | u64::from(shift)) << LIMIT_BITS | u64::from(limit)
    }

    pub(super) fn unpack(word: u64) -> Self {
        let field = |above: u32, bits: u32| (word >> above) as u32 & ((1 << bits) - 1);
        Self {
            limit: field(0, LIMIT_BITS),
            shift: field(LIMIT_BITS, SHIFT_BITS),
            levels: field(LIMIT_BITS + SHIFT_BITS, LEVELS_BITS) as usize,
            first: field(LIMIT_BITS + SHIFT_BITS + LEVELS_BITS, FIRST_BITS) as usize,
        }
    }

    pub(super) fn position(self, in_flight: u32) -> Option<usize> {
        let level = (in_flight as usize).min(self.levels - 1);
        (self.limit == 0 || in_flight < self.limit).then_some(self.first + (level << self.shift))
    }
}

/// The bitmaps that a sequence of clusters shares, allocated on first use.
pub(crate) struct LoadIndex {
    bitmaps: [OnceLock<LoadBitmap>; BITMAPS],
    positions: usize,
}

/// The set of the positions of a cluster's upstreams.
pub(super) struct LoadBitmap {
    pub(super) bits: Bits,
    pub(super) taken: AtomicBool,
    pub(super) disturbed: AtomicBool,
}

impl LoadIndex {
    /// An index without bitmaps, which takes next to no memory.
    pub(super) fn new() -> Self {
        Self::with_positions(POSITIONS)
    }

    pub(super) fn with_positions(positions: usize) -> Self {
        Self { bitmaps: [const { OnceLock::new() }; BITMAPS], positions }
    }

    pub(super) fn bitmap(&self, index: usize) -> Option<&LoadBitmap> {
        self.bitmaps[index].get()
    }

    /// Takes a free bitmap, cleared, and returns its number; `None` if all are taken. Late leases of its previous owner
    /// may still set positions.
    pub(super) fn take(&self) -> Option<usize> {
        let make = || LoadBitmap {
            bits: Bits::new(self.positions),
            taken: AtomicBool::new(false),
            disturbed: AtomicBool::new(false),
        };
        let index = self.bitmaps.iter().position(|bitmap| {
            let taken = &bitmap.get_or_init(make).taken;
            taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })?;
        self.bitmap(index)?.bits.clear();
        Some(index)
    }
}

impl fmt::Debug for LoadIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = |bitmap: &OnceLock<LoadBitmap>| bitmap.get().is_some_and(|l| l.taken.load(Ordering::Relaxed));
        f.debug_struct("LoadIndex").field("taken", &self.bitmaps.each_ref().map(taken)).finish_non_exhaustive()
    }
}

impl LoadBitmap {
    /// Marks that a late lease, whose upstream has another slot by now, may have cleared the position of any member.
    pub(super) fn disturb(&self) {
        self.disturbed.store(true, Ordering::Release);
    }
}
