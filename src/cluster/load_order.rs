//! The members of one cluster on a bitmap of the load index.

use super::load_index::{IndexSlot, LoadIndex, POSITIONS};
use super::{Cluster, Member};
use crate::sync::Ordering;
use std::fmt;
use std::sync::Arc;

/// The members of one cluster on a bitmap of the load index. Dropping it returns the bitmap.
pub(crate) struct LoadOrder {
    load_index: Arc<LoadIndex>,
    index: usize,
    members: Arc<[Member]>,
}

impl LoadOrder {
    /// The number of positions of a bitmap.
    pub(crate) const POSITIONS: usize = POSITIONS;

    /// Gives each of `members` its slot; `None` if all bitmaps are taken. No two upstreams may have the same position
    /// at any loads.
    pub(super) fn new(load_index: &Arc<LoadIndex>, members: &Arc<[Member]>, slots: &[IndexSlot]) -> Option<Self> {
        let order =
            Self { load_index: Arc::clone(load_index), index: load_index.take()?, members: Arc::clone(members) };
        for (member, slot) in members.iter().zip(slots) {
            member.upstream().indexed_load().take_slot(order.index, *slot);
        }
        Some(order)
    }

    /// The lowest position in `from..end` that is set. It may be stale: [`confirm`](Self::confirm) it.
    pub(crate) fn first(&self, from: usize, end: usize) -> Option<usize> {
        self.load_index.bitmap(self.index)?.bits.first(from, end)
    }

    /// Whether the member accepts, is below its limit, and `position` is its position. If not, clears the position and
    /// sets the right one.
    pub(crate) fn confirm(&self, member: usize, position: usize) -> bool {
        self.members[member].upstream().indexed_load().confirm(self.index, position)
    }

    /// Clears a position that belongs to no member.
    pub(crate) fn clear_position(&self, position: usize) {
        if let Some(bitmap) = self.load_index.bitmap(self.index) {
            bitmap.bits.remove(position);
        }
    }

    /// Sets the positions of all members again if a late lease may have cleared one. One relaxed load otherwise.
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
    /// Keeps the members in the order of their load, `slots[i]` for member `i`; `None` if all bitmaps are taken.
    pub(crate) fn load_order(&self, slots: &[IndexSlot]) -> Option<LoadOrder> {
        LoadOrder::new(self.load_index(), &self.members, slots)
    }
}
