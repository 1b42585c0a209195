//! Where a policy keeps the upstreams of a cluster in the order of their load.
//!
//! A [`Ladder`] is a set of positions. A [`Seat`] says at which position of a ladder an upstream stands at each load:
//! one rung higher for each request in flight. A policy takes a ladder of the [`Board`] for itself, seats the upstreams
//! of its cluster on it, and finds the least loaded on the lowest rung; [`Standing`](super::standing::Standing) moves
//! them as leases come and go.
//!
//! Leases reach the board through their upstream, and outlive policies and clusters. So a board belongs to a line of
//! clusters that follow one another, and its ladders are used again instead of being freed: nothing that a lease looks
//! at needs protection from disappearing.

use super::Member;
use super::bits::Bits;
use super::load::MAX_IN_FLIGHT;
use crate::sync::{AtomicBool, Ordering};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Ladders of a board: for the policy in force, for the one that takes over, and for a snapshot that somebody holds on
/// to.
pub(super) const LADDERS: usize = 3;

/// Positions of a ladder, 256 KiB of bits: enough to tell all loads apart up to a million requests in flight.
const POSITIONS: usize = 1 << FIRST_BITS;

const LIMIT_BITS: u32 = 24;
const SHIFT_BITS: u32 = 4;
const RUNGS_BITS: u32 = 15;
const FIRST_BITS: u32 = 21;

/// At which position of a ladder an upstream stands, by its requests in flight. Fits into one atomic word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seat {
    /// The position with nothing in flight.
    pub(crate) first: usize,
    /// A rung is 2^`shift` positions above the one below, 2^15 at most.
    pub(crate) shift: u32,
    /// On the last rung stand all that have more in flight. 1 to [`MAX_RUNGS`](Self::MAX_RUNGS).
    pub(crate) rungs: usize,
    /// With this many in flight it stands nowhere; 0 is no limit.
    pub(crate) limit: u32,
}

impl Seat {
    pub(crate) const MAX_RUNGS: usize = (1 << RUNGS_BITS) - 1;

    /// As a word, which is never 0.
    pub(super) fn pack(self) -> u64 {
        let Self { first, shift, rungs, limit } = self;
        let limit = limit.min(MAX_IN_FLIGHT);
        let upper = (first as u64) << RUNGS_BITS | rungs as u64;
        (upper << SHIFT_BITS | u64::from(shift)) << LIMIT_BITS | u64::from(limit)
    }

    pub(super) fn unpack(word: u64) -> Self {
        let field = |above: u32, bits: u32| (word >> above) as u32 & ((1 << bits) - 1);
        Self {
            limit: field(0, LIMIT_BITS),
            shift: field(LIMIT_BITS, SHIFT_BITS),
            rungs: field(LIMIT_BITS + SHIFT_BITS, RUNGS_BITS) as usize,
            first: field(LIMIT_BITS + SHIFT_BITS + RUNGS_BITS, FIRST_BITS) as usize,
        }
    }

    pub(super) fn position(self, in_flight: u32) -> Option<usize> {
        let rung = (in_flight as usize).min(self.rungs - 1);
        (self.limit == 0 || in_flight < self.limit).then_some(self.first + (rung << self.shift))
    }
}

/// The ladders of a line of clusters, made as they are needed.
pub(crate) struct Board {
    ladders: [OnceLock<Ladder>; LADDERS],
    positions: usize,
}

/// Positions where upstreams stand.
pub(super) struct Ladder {
    pub(super) bits: Bits,
    taken: AtomicBool,
    pub(super) disturbed: AtomicBool,
}

impl Board {
    /// Without ladders yet, and next to no memory.
    pub(super) fn new() -> Self {
        Self::with_positions(POSITIONS)
    }

    pub(super) fn with_positions(positions: usize) -> Self {
        Self { ladders: [const { OnceLock::new() }; LADDERS], positions }
    }

    pub(super) fn ladder(&self, index: usize) -> Option<&Ladder> {
        self.ladders[index].get()
    }

    /// The index of a ladder that is nobody else's, and empty but for what late leases may still put there.
    pub(super) fn take(&self) -> Option<usize> {
        let make = || Ladder {
            bits: Bits::new(self.positions),
            taken: AtomicBool::new(false),
            disturbed: AtomicBool::new(false),
        };
        let index = self.ladders.iter().position(|ladder| {
            let taken = &ladder.get_or_init(make).taken;
            taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })?;
        self.ladder(index)?.bits.clear();
        Some(index)
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = |ladder: &OnceLock<Ladder>| ladder.get().is_some_and(|l| l.taken.load(Ordering::Relaxed));
        f.debug_struct("Board").field("taken", &self.ladders.each_ref().map(taken)).finish_non_exhaustive()
    }
}

impl Ladder {
    /// A lease of an upstream that was seated elsewhere meanwhile may have cleared anybody's position.
    pub(super) fn disturb(&self) {
        self.disturbed.store(true, Ordering::Release);
    }
}

/// All upstreams of a cluster on a ladder of their own, until it is dropped.
pub(crate) struct Seating {
    board: Arc<Board>,
    index: usize,
    members: Arc<[Member]>,
}

impl Seating {
    /// How many positions there are.
    pub(crate) const POSITIONS: usize = POSITIONS;

    /// Gives each of `members` its seat, or nobody where all ladders are taken. At no loads may two upstreams have one
    /// position.
    pub(super) fn new(board: &Arc<Board>, members: &Arc<[Member]>, seats: &[Seat]) -> Option<Self> {
        let seating = Self { board: Arc::clone(board), index: board.take()?, members: Arc::clone(members) };
        for (member, seat) in members.iter().zip(seats) {
            member.upstream().standing().take_seat(seating.index, *seat);
        }
        Some(seating)
    }

    /// The lowest position from `from` on and below `end` where somebody stands; he may be about to leave it.
    pub(crate) fn first(&self, from: usize, end: usize) -> Option<usize> {
        self.board.ladder(self.index)?.bits.first(from, end)
    }

    /// Whether the member stands at `position`, accepts, and is below its limit. Where not, the position is cleared and
    /// the member is where it belongs.
    pub(crate) fn confirm(&self, member: usize, position: usize) -> bool {
        self.members[member].upstream().standing().confirm(self.index, position)
    }

    /// Clears a position that belongs to no member.
    pub(crate) fn vacate(&self, position: usize) {
        if let Some(ladder) = self.board.ladder(self.index) {
            ladder.bits.remove(position);
        }
    }

    /// Seats everybody again where a late lease may have taken somebody away. One look otherwise.
    pub(crate) fn repair(&self) {
        let disturbed = self.board.ladder(self.index).map(|ladder| &ladder.disturbed);
        if disturbed.is_some_and(|d| d.load(Ordering::Relaxed) && d.swap(false, Ordering::AcqRel)) {
            self.members.iter().for_each(|member| member.upstream().standing().restore(self.index));
        }
    }
}

impl fmt::Debug for Seating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seating").field("ladder", &self.index).finish_non_exhaustive()
    }
}

impl Drop for Seating {
    fn drop(&mut self) {
        self.members.iter().for_each(|member| member.upstream().standing().leave_seat(self.index));
        if let Some(ladder) = self.board.ladder(self.index) {
            ladder.taken.store(false, Ordering::Release);
        }
    }
}
