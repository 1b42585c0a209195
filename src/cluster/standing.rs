//! How an upstream stands: its counts and verdicts, and its places on the ladders of the [`Board`].
//!
//! # Why nobody is lost
//!
//! An upstream belongs at the position that its count, its verdict and its seat give. Whoever changes one of the three
//! then passes through the count by a read-modify-write (a lease does so in changing it). So the last to pass knows all
//! three, and puts the upstream where it belongs. Another who knew less may take it away from there once more, but then
//! looks at all three again; and since he took it away by a read-modify-write of the word in which the last had put it,
//! he now knows what the last knew, and puts it back. A position may be left over for a while. Who finds an upstream
//! compares the position with its state, and clears what does not agree.
//!
//! Positions are used again when a ladder changes hands. A lease that stood still meanwhile may take away another
//! upstream than its own; by the same argument it then sees that its seat has changed, and marks the ladder as
//! disturbed, whereupon everybody is seated again.

use super::board::{Board, LADDERS, Seat};
use super::load::Load;
use crate::sync::{AtomicU8, AtomicU64, Ordering};
use std::sync::Arc;

const SERVING: u8 = 1;
const ACCEPTING: u8 = 2;

/// The two verdicts on an upstream. An upstream can be full without being down: it goes on serving those it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Health {
    /// It serves the sessions it holds: pinned requests go to it.
    pub serving: bool,
    /// It takes new sessions: policies may place on it.
    pub accepting: bool,
}

impl Health {
    /// Serves and accepts: how every upstream starts.
    pub const ACTIVE: Self = Self { serving: true, accepting: true };
    /// Serves those it has and accepts no new ones: full, or being drained.
    pub const DRAINING: Self = Self { serving: true, accepting: false };
    /// Does neither.
    pub const DOWN: Self = Self { serving: false, accepting: false };
}

#[derive(Debug)]
pub(crate) struct Standing {
    load: Load,
    /// A seat for each ladder, 0 for none.
    seats: [AtomicU64; LADDERS],
    board: Arc<Board>,
    health: AtomicU8,
}

impl Standing {
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self {
            load: Load::new(),
            seats: [(); LADDERS].map(|()| AtomicU64::new(0)),
            board,
            health: AtomicU8::new(SERVING | ACCEPTING),
        }
    }

    pub(super) fn load(&self) -> &Load {
        &self.load
    }

    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Counts one more in flight, unless `limit` are already (0: none). Without a seat one look more than the count.
    pub(super) fn acquire(&self, limit: u32) -> bool {
        let before = self.load.acquire(limit);
        if let Some(before) = before {
            self.moved(before);
        }
        before.is_some()
    }

    /// Counts one less in flight.
    pub(super) fn release(&self) {
        self.moved(self.load.release());
    }

    /// After the count moved on from `before`.
    fn moved(&self, before: u32) {
        for (index, seat) in self.seats.iter().enumerate() {
            let word = seat.load(Ordering::Relaxed);
            if word != 0 {
                self.settle(index, word, Seat::unpack(word).position(before));
            }
        }
    }

    pub(super) fn health(&self) -> Health {
        let bits = self.health.load(Ordering::Relaxed);
        Health { serving: bits & SERVING != 0, accepting: bits & ACCEPTING != 0 }
    }

    pub(super) fn set_health(&self, health: Health) {
        let accepting = health.serving && health.accepting;
        let bits = (u8::from(health.serving) * SERVING) | (u8::from(accepting) * ACCEPTING);
        let before = self.health.swap(bits, Ordering::Relaxed);
        if (before ^ bits) & ACCEPTING != 0 {
            self.moved(self.load.pass());
        }
    }

    /// Takes `seat` on a ladder where it has none.
    pub(super) fn take_seat(&self, index: usize, seat: Seat) {
        let seat = seat.pack();
        self.seats[index].store(seat, Ordering::Relaxed);
        self.load.pass();
        self.settle(index, seat, None);
    }

    /// Leaves its seat. Its position stays, for whoever takes the ladder next to clear.
    pub(super) fn leave_seat(&self, index: usize) {
        self.seats[index].store(0, Ordering::Relaxed);
    }

    /// Whether it stands at `position` of a ladder. Where not, the position is cleared, and it is where it belongs.
    pub(super) fn confirm(&self, index: usize, position: usize) -> bool {
        let seat = self.seat(index);
        let stands = self.belongs(seat) == Some(position);
        if !stands {
            self.settle(index, seat, Some(position));
        }
        stands
    }

    /// Puts it where it belongs on a ladder, should somebody have taken it away.
    pub(super) fn restore(&self, index: usize) {
        self.settle(index, self.seat(index), None);
    }

    fn seat(&self, index: usize) -> u64 {
        self.seats[index].load(Ordering::Relaxed)
    }

    fn belongs(&self, seat: u64) -> Option<usize> {
        if seat == 0 || !self.health().accepting {
            return None;
        }
        Seat::unpack(seat).position(self.load.in_flight())
    }

    /// Puts it where it belongs by `seat`, and takes it away from where it `stood`; in this order, so that it can be
    /// found all the while.
    fn settle(&self, index: usize, seat: u64, mut stood: Option<usize>) {
        let Some(ladder) = self.board.ladder(index) else { return };
        loop {
            let belongs = self.belongs(seat);
            if let Some(position) = belongs {
                ladder.bits.insert(position);
            }
            if let Some(position) = stood
                && belongs != stood
            {
                ladder.bits.remove(position);
            }
            if self.seat(index) != seat {
                return ladder.disturb();
            }
            if self.belongs(seat) == belongs {
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

    /// Each rung in a word of its own, so that a move crosses words.
    const SEAT: Seat = Seat { first: 0, shift: 6, rungs: 4, limit: 0 };

    fn seated() -> Arc<Standing> {
        let board = Arc::new(Board::with_positions(4 * 64));
        let ladder = board.take().unwrap();
        let standing = Standing::new(board);
        standing.take_seat(ladder, SEAT);
        Arc::new(standing)
    }

    fn stands_at(standing: &Standing, position: usize) -> bool {
        let bits = &standing.board.ladder(0).unwrap().bits;
        bits.first(position, position + 1).is_some()
    }

    fn assert_it_is_where_it_belongs(standing: &Standing) {
        let position = standing.belongs(standing.seat(0));
        assert!(position.is_none_or(|position| stands_at(standing, position)), "it is lost");
    }

    /// Whatever two threads do at once with one upstream, it ends up where it belongs.
    fn nobody_is_lost(one: fn(&Standing), other: fn(&Standing)) {
        model(move || {
            let standing = seated();
            let same = Arc::clone(&standing);
            let thread = thread::spawn(move || one(&same));
            other(&standing);
            thread.join().unwrap();
            assert_it_is_where_it_belongs(&standing);
        });
    }

    fn come(standing: &Standing) {
        assert!(standing.acquire(0));
    }

    fn come_and_go(standing: &Standing) {
        come(standing);
        standing.release();
    }

    #[test]
    fn loom_nobody_is_lost_between_leases() {
        nobody_is_lost(come, come_and_go);
        nobody_is_lost(come_and_go, come_and_go);
    }

    /// The model's control: to move where the count went, without a second look.
    #[test]
    #[should_panic(expected = "it is lost")]
    fn loom_a_move_without_a_second_look_is_caught() {
        fn moved(standing: &Standing, from: u32, to: u32) {
            let bits = &standing.board.ladder(0).unwrap().bits;
            bits.insert(SEAT.position(to).unwrap());
            bits.remove(SEAT.position(from).unwrap());
        }
        nobody_is_lost(come, |standing| {
            let before = standing.load.acquire(0).unwrap();
            moved(standing, before, before + 1);
            let before = standing.load.release();
            moved(standing, before, before - 1);
        });
    }

    /// The verdict changes while a lease comes.
    #[test]
    fn loom_nobody_is_lost_between_a_lease_and_a_verdict() {
        nobody_is_lost(come, |standing| standing.set_health(Health::DOWN));
        nobody_is_lost(come, |standing| {
            standing.set_health(Health::DOWN);
            standing.set_health(Health::ACTIVE);
        });
    }

    /// A reader that found it where it no longer is clears the position, while it comes back there.
    #[test]
    fn loom_nobody_is_lost_to_a_reader() {
        nobody_is_lost(come_and_go, |standing| {
            for rung in 0..2 {
                standing.confirm(0, SEAT.position(rung).unwrap());
            }
        });
    }

    /// A policy takes its seats while leases come.
    fn nobody_is_lost_while_seats_are_taken(take_seat: fn(&Standing, usize)) {
        model(move || {
            let board = Arc::new(Board::with_positions(4 * 64));
            let ladder = board.take().unwrap();
            let standing = Arc::new(Standing::new(board));
            let same = Arc::clone(&standing);
            let thread = thread::spawn(move || come(&same));
            take_seat(&standing, ladder);
            thread.join().unwrap();
            assert_it_is_where_it_belongs(&standing);
        });
    }

    #[test]
    fn loom_nobody_is_lost_while_seats_are_taken() {
        nobody_is_lost_while_seats_are_taken(|standing, ladder| standing.take_seat(ladder, SEAT));
        nobody_is_lost_while_seats_are_taken(|standing, ladder| {
            standing.take_seat(ladder, SEAT);
            standing.set_health(Health::DOWN);
            standing.set_health(Health::ACTIVE);
        });
    }

    /// The model's control: a seat that is taken without passing through the count.
    #[test]
    #[should_panic(expected = "it is lost")]
    fn loom_a_seat_taken_past_the_count_is_caught() {
        nobody_is_lost_while_seats_are_taken(|standing, ladder| {
            standing.seats[ladder].store(SEAT.pack(), Ordering::Relaxed);
            standing.settle(ladder, SEAT.pack(), None);
        });
    }

    /// A lease is late: the ladder has changed hands, and its old position is another upstream's now.
    fn nobody_is_lost_to_a_late_lease(repair: fn(&Standing)) {
        model(move || {
            let old = seated();
            let new = Arc::new(Standing::new(Arc::clone(&old.board)));
            let same = Arc::clone(&old);
            let late = thread::spawn(move || come(&same));
            old.leave_seat(0);
            new.board.ladder(0).unwrap().bits.clear();
            new.take_seat(0, SEAT);
            late.join().unwrap();
            repair(&new);
            assert_it_is_where_it_belongs(&new);
        });
    }

    #[test]
    fn loom_nobody_is_lost_to_a_late_lease() {
        nobody_is_lost_to_a_late_lease(|standing| {
            if standing.board.ladder(0).unwrap().disturbed.load(Ordering::Acquire) {
                standing.restore(0);
            }
        });
    }

    /// The model's control: nobody minds the disturbance.
    #[test]
    #[should_panic(expected = "it is lost")]
    fn loom_a_late_lease_that_is_not_minded_is_caught() {
        nobody_is_lost_to_a_late_lease(|_| ());
    }
}
