//! The members of one cluster on a bitmap of the load index.

use super::load_index::{IndexSlot, LoadIndex, POSITIONS};
use super::{Cluster, Member};
use crate::sync::Ordering;
use std::fmt;
use std::sync::Arc;

/// The members of a cluster on a bitmap of their own, until it is dropped.
pub(crate) struct LoadOrder {
    load_index: Arc<LoadIndex>,
    index: usize,
    members: Arc<[Member]>,
}

impl LoadOrder {
    /// How many positions there are.
    pub(crate) const POSITIONS: usize = POSITIONS;

    /// Gives each of `members` its slot; `None` where all bitmaps are taken. No two upstreams may share a position at
    /// any load.
    pub(super) fn new(load_index: &Arc<LoadIndex>, members: &Arc<[Member]>, slots: &[IndexSlot]) -> Option<Self> {
        let order =
            Self { load_index: Arc::clone(load_index), index: load_index.take()?, members: Arc::clone(members) };
        for (member, slot) in members.iter().zip(slots) {
            member.upstream().indexed_load().take_slot(order.index, *slot);
        }
        Some(order)
    }

    /// The lowest set position in `from..end`. Its upstream may be about to leave it.
    pub(crate) fn first(&self, from: usize, end: usize) -> Option<usize> {
        self.load_index.bitmap(self.index)?.bits.first(from, end)
    }

    /// Whether the member is at `position`, accepts, and is below its limit. If not, clears the position and sets the
    /// right one.
    pub(crate) fn confirm(&self, member: usize, position: usize) -> bool {
        self.members[member].upstream().indexed_load().confirm(self.index, position)
    }

    /// Clears a position that belongs to no member.
    pub(crate) fn clear_position(&self, position: usize) {
        if let Some(bitmap) = self.load_index.bitmap(self.index) {
            bitmap.bits.remove(position);
        }
    }

    /// Indexes all members again where a late lease may have cleared a position. One load otherwise.
    pub(crate) fn repair(&self) {
        let disturbed = self.load_index.bitmap(self.index).map(|bitmap| &bitmap.disturbed);
        if disturbed.is_some_and(|d| d.load(Ordering::Relaxed) && d.swap(false, Ordering::AcqRel)) {
            self.members.iter().for_each(|member| member.upstream().indexed_load().restore(self.index));
        }
    }
}

impl fmt::Debug for LoadOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOrder").field("bitmap", &self.index).finish_non_exhaustive()
    }
}

impl Drop for LoadOrder {
    fn drop(&mut self) {
        self.members.iter().for_each(|member| member.upstream().indexed_load().leave_slot(self.index));
        if let Some(bitmap) = self.load_index.bitmap(self.index) {
            bitmap.taken.store(false, Ordering::Release);
        }
    }
}

impl Cluster {
    /// Keeps the members in the order of their load, each by the slot of its index; `None` where too many other
    /// policies already do.
    pub(crate) fn load_order(&self, slots: &[IndexSlot]) -> Option<LoadOrder> {
        LoadOrder::new(self.load_index(), &self.members, slots)
    }
}
