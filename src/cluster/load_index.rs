//! Bitmaps on which policies keep the upstreams of a cluster in the order of their load.
//!
//! A [`LoadBitmap`] is a set of positions. An [`IndexSlot`] determines the position of an upstream on a bitmap at each
//! load: one level higher for each request in flight. A policy takes a bitmap of the [`LoadIndex`] for itself, gives
//! each upstream of its cluster a slot, and finds the least loaded upstream at the lowest level;
//! [`IndexedLoad`](super::indexed_load::IndexedLoad) moves upstreams as leases come and go.
//! [`LeastConn`](crate::policy::LeastConn) has the rationale and its costs.
//!
//! Leases reach the index through their upstream, and outlive policies and clusters. So an index belongs to a line of
//! clusters that follow one another, and its bitmaps are reused rather than freed: no pointer that a lease follows
//! needs protection.

use super::bits::Bits;
use super::load::MAX_IN_FLIGHT;
use crate::sync::{AtomicBool, Ordering};
use std::fmt;
use std::sync::OnceLock;

/// Bitmaps of an index: for the policy in force, for its successor while that is built, and for a snapshot that is
/// still in use.
pub(super) const BITMAPS: usize = 3;

/// Positions of a bitmap, 256 KiB of bits: enough to distinguish all loads up to a million requests in flight.
pub(super) const POSITIONS: usize = 1 << FIRST_BITS;

const LIMIT_BITS: u32 = 24;
const SHIFT_BITS: u32 = 4;
const LEVELS_BITS: u32 = 15;
const FIRST_BITS: u32 = 21;

/// The position of an upstream on a bitmap as a function of its requests in flight. Fits into one atomic word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IndexSlot {
    /// The position with nothing in flight.
    pub(crate) first: usize,
    /// A level is 2^`shift` positions above the one below; 2^15 at most.
    pub(crate) shift: u32,
    /// The last level is for all higher loads too. 1 to [`MAX_LEVELS`](Self::MAX_LEVELS).
    pub(crate) levels: usize,
    /// With this many in flight the upstream has no position; 0 is no limit.
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

/// The bitmaps of a line of clusters, allocated on first use.
pub(crate) struct LoadIndex {
    bitmaps: [OnceLock<LoadBitmap>; BITMAPS],
    positions: usize,
}

/// A set of positions.
pub(super) struct LoadBitmap {
    pub(super) bits: Bits,
    pub(super) taken: AtomicBool,
    pub(super) disturbed: AtomicBool,
}

impl LoadIndex {
    /// Without bitmaps yet, and next to no memory.
    pub(super) fn new() -> Self {
        Self::with_positions(POSITIONS)
    }

    pub(super) fn with_positions(positions: usize) -> Self {
        Self { bitmaps: [const { OnceLock::new() }; BITMAPS], positions }
    }

    pub(super) fn bitmap(&self, index: usize) -> Option<&LoadBitmap> {
        self.bitmaps[index].get()
    }

    /// The index of a bitmap that no other policy uses, empty except for what late leases may still set.
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
    /// A lease of an upstream whose slot changed meanwhile may have cleared the position of another.
    pub(super) fn disturb(&self) {
        self.disturbed.store(true, Ordering::Release);
    }
}
