//! The first four upstreams of each slot, regardless of caps.
//!
//! A block of slots is ranked in one of two ways with the same result. *By scan*: every contender bids for each open
//! slot. *By windows*: in windows of time, each contender deals out the slots whose strata begin in the window, and a
//! slot is closed once its ranks are better than anything later windows can bring. A scan costs one bid a slot and
//! contender; windows cost about fifteen deals a slot, however many contend. A membership change opens the slots where
//! a removed upstream was ranked, and offers the others to the added ones.

use super::score::{BLOCK, Bid, Contender, Hand};
use crate::cluster::Cluster;

/// Ranks kept for each slot: eight bytes, one load. While a tenth of the upstreams is down, a pick finds none of four
/// accepting about once in ten thousand times.
pub(super) const RANKS: usize = 4;

/// Windows end once scanning the slots still open costs at most this many bids for each slot of the block.
const LATE: usize = 2;

/// A rank without an upstream: there are fewer than [`RANKS`].
pub(super) const NO_UPSTREAM: u16 = u16::MAX;

/// A block is ranked by scan if that costs at most this many bids for each of its slots.
const SCAN: usize = 12;

/// The upstreams in the order of their ids, with everything the ranks of slots depend on.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Field {
    pub(super) contenders: Box<[Contender]>,
    pub(super) total_weight: u64,
}

impl Field {
    /// The field of `cluster`, and the place that each contender has in the cluster.
    pub(super) fn new(cluster: &Cluster) -> (Self, Box<[u16]>) {
        let id = |index: u16| cluster.members()[usize::from(index)].upstream().id().as_u64();
        let mut places: Box<[u16]> = (0..cluster.len() as u16).collect();
        places.sort_unstable_by_key(|index| id(*index));
        let weight = |index: u16| cluster.members()[usize::from(index)].weight();
        let contenders = places.iter().map(|index| Contender::new(id(*index), weight(*index))).collect();
        (Self { contenders, total_weight: cluster.total_weight() }, places)
    }

    pub(super) fn len(&self) -> usize {
        self.contenders.len()
    }

    /// The bid of the contender `index` for `slot` of all slots.
    pub(super) fn bid(&self, index: u16, slot: usize) -> Bid {
        let index = usize::from(index);
        self.contenders[index].hand(slot / BLOCK).bid_for(slot % BLOCK, index)
    }

    /// The hand of every contender for `block`.
    fn deal(&self, block: usize, hands: &mut Vec<Hand>) {
        hands.clear();
        hands.extend(self.contenders.iter().map(|contender| contender.hand(block)));
    }
}

/// The ranks of each slot, best first, as places in `field`.
#[derive(Debug)]
pub(super) struct Ranking {
    pub(super) field: Field,
    pub(super) ranks: Box<[[u16; RANKS]]>,
    /// An upper bound on the bids of all last ranks.
    latest: Bid,
}

impl Ranking {
    /// Ranks `blocks` blocks of slots.
    pub(super) fn new(field: Field, blocks: usize) -> Self {
        let mut ranks = vec![[NO_UPSTREAM; RANKS]; blocks * BLOCK].into_boxed_slice();
        let mut ranker = Ranker::new(&field);
        for (block, ranks) in ranks.chunks_exact_mut(BLOCK).enumerate() {
            field.deal(block, &mut ranker.hands);
            ranker.rank(&Slots::all(), ranks);
        }
        let latest = ranker.latest;
        Self { field, ranks, latest }
    }

    /// The ranking of `field`, made from this one of as many slots: equal to a new one.
    ///
    /// For each contender that is gone or changed its weight, the slots where it was ranked are ranked anew; each that
    /// is new or changed its weight bids for the others. Where many did, a new one is made.
    pub(super) fn updated(&self, field: Field) -> Self {
        let change = Change::between(&self.field, &field);
        if change.extent() * 8 > field.len() {
            return Self::new(field, self.ranks.len() / BLOCK);
        }
        let mut ranks = self.ranks.clone();
        let mut ranker = Ranker::new(&field);
        ranker.latest = self.latest;
        let reach = |index: u16| field.contenders[usize::from(index)].strata_within(self.latest);
        let fresh: Vec<(u16, u16)> = change.fresh.iter().map(|index| (*index, reach(*index))).collect();
        for (block, ranks) in ranks.chunks_exact_mut(BLOCK).enumerate() {
            field.deal(block, &mut ranker.hands);
            let lost = change.renumber(ranks);
            ranker.rank(&lost, ranks);
            for (index, reach) in &fresh {
                ranker.offer(*index, *reach, &lost, ranks);
            }
        }
        let latest = ranker.latest;
        Self { field, ranks, latest }
    }
}

/// What a field's contenders become in the next one.
struct Change {
    /// By the old number, the new one; [`NO_UPSTREAM`] for those that were removed or have another weight.
    kept: Vec<u16>,
    gone: usize,
    /// The new numbers of those that were not kept.
    fresh: Vec<u16>,
}

impl Change {
    fn between(old: &Field, new: &Field) -> Self {
        let mut kept = vec![NO_UPSTREAM; old.len()];
        let mut fresh = Vec::new();
        let mut at = 0;
        for (index, contender) in (0..).zip(&new.contenders) {
            while old.contenders.get(at).is_some_and(|before| before.id < contender.id) {
                at += 1;
            }
            match old.contenders.get(at) {
                Some(before) if before == contender => kept[at] = index,
                _ => fresh.push(index),
            }
        }
        let gone = old.len() + fresh.len() - new.len();
        Self { kept, gone, fresh }
    }

    fn extent(&self) -> usize {
        self.gone + self.fresh.len()
    }

    /// Gives all ranks their new numbers. Returns the slots that lost one, or had not all.
    fn renumber(&self, ranks: &mut [[u16; RANKS]]) -> Slots {
        let mut lost = Slots::none();
        for (slot, ranks) in ranks.iter_mut().enumerate() {
            *ranks = ranks.map(|rank| self.kept.get(usize::from(rank)).copied().unwrap_or(NO_UPSTREAM));
            if ranks.contains(&NO_UPSTREAM) {
                lost.insert(slot);
            }
        }
        lost
    }
}

/// A point in time, and how far each contender has dealt by then.
struct Window {
    end: f64,
    dealt: Vec<u16>,
}

/// Ranks the slots of one block after the other.
struct Ranker<'a> {
    field: &'a Field,
    /// The hands of the current block.
    hands: Vec<Hand>,
    /// The windows computed so far.
    windows: Vec<Window>,
    bids: Vec<[Bid; RANKS]>,
    /// The greatest bid of any last rank.
    latest: Bid,
}

impl<'a> Ranker<'a> {
    fn new(field: &'a Field) -> Self {
        let dealt = vec![0; field.len()];
        let windows = vec![Window { end: 0.0, dealt }];
        let bids = vec![[Bid::NONE; RANKS]; BLOCK];
        Self { field, hands: Vec::with_capacity(field.len()), windows, bids, latest: Bid::LEAST }
    }

    /// Ranks the slots that are open.
    fn rank(&mut self, open: &Slots, ranks: &mut [[u16; RANKS]]) {
        let count = open.len();
        if count == 0 {
            return;
        }
        open.each(|slot| self.bids[slot] = [Bid::NONE; RANKS]);
        if count * self.field.len() <= SCAN * BLOCK {
            self.by_scan(open);
        } else {
            let late = self.by_windows(open.clone());
            late.each(|slot| self.bids[slot] = [Bid::NONE; RANKS]);
            self.by_scan(&late);
        }
        open.each(|slot| {
            ranks[slot] = ranks_of(self.bids[slot]);
            self.latest = self.latest.max(self.bids[slot][RANKS - 1]);
        });
    }

    fn by_scan(&mut self, open: &Slots) {
        let mut slots = Vec::with_capacity(open.len());
        open.each(|slot| slots.push(slot));
        for (index, hand) in self.hands.iter().enumerate() {
            let stratum = hand.strata();
            for slot in &slots {
                let (bids, stratum) = (&mut self.bids[*slot], stratum(*slot));
                if hand.may_beat(bids[RANKS - 1], stratum) {
                    insert(bids, hand.bid(stratum, *slot, index));
                }
            }
        }
    }

    /// Returns the slots still open when scanning them becomes cheaper: see [`LATE`].
    fn by_windows(&mut self, mut open: Slots) -> Slots {
        for number in 1.. {
            if number == self.windows.len() {
                self.next_window();
            }
            let (before, window) = (&self.windows[number - 1], &self.windows[number]);
            let dealt = before.dealt.iter().zip(&window.dealt);
            for (index, (hand, (from, to))) in self.hands.iter().zip(dealt).enumerate() {
                for (stratum, slot) in hand.dealt(*from..*to) {
                    if open.contains(slot) {
                        insert(&mut self.bids[slot], hand.bid(stratum, slot, index));
                    }
                }
            }
            // Every later bid has a stratum that begins after this window's end.
            let end = Bid::least(window.end);
            open.retain(|slot| self.bids[slot][RANKS - 1] >= end);
            if open.len() * self.field.len() <= LATE * BLOCK {
                break;
            }
        }
        open
    }

    /// In the time that 1 divided by the sum of weights takes, about one contender bids for each slot.
    fn next_window(&mut self) {
        let turns = match self.windows.len() {
            1 => 4.0,
            n => 1.4 * self.windows[n - 1].end * self.field.total_weight as f64,
        };
        let end = turns / self.field.total_weight as f64;
        let last = self.windows.last().map_or(&[][..], |window| &window.dealt);
        let dealt = self.field.contenders.iter().zip(last).map(|(c, from)| c.strata_before(end, *from)).collect();
        self.windows.push(Window { end, dealt });
    }

    /// Ranks the contender `index` too, of whose strata the first `reach` count, in all slots but those in `done`.
    fn offer(&self, index: u16, reach: u16, done: &Slots, ranks: &mut [[u16; RANKS]]) {
        let hand = self.hands[usize::from(index)];
        for (stratum, slot) in hand.dealt(0..reach).filter(|(_, slot)| !done.contains(*slot)) {
            let bid_of = |rank: u16| self.hands[usize::from(rank)].bid_for(slot, usize::from(rank));
            if hand.may_beat(bid_of(ranks[slot][RANKS - 1]), stratum) {
                let mut bids = ranks[slot].map(bid_of);
                insert(&mut bids, hand.bid(stratum, slot, usize::from(index)));
                ranks[slot] = ranks_of(bids);
            }
        }
    }
}

fn ranks_of(bids: [Bid; RANKS]) -> [u16; RANKS] {
    bids.map(|bid| if bid == Bid::NONE { NO_UPSTREAM } else { bid.index() })
}

/// Inserts `bid` in order and drops the worst.
#[inline]
fn insert(bids: &mut [Bid; RANKS], mut bid: Bid) {
    for place in bids {
        let better = bid.min(*place);
        bid = bid.max(*place);
        *place = better;
    }
}

/// A set of slots within a block.
#[derive(Clone)]
struct Slots([u64; BLOCK / 64]);

impl Slots {
    const fn none() -> Self {
        Self([0; BLOCK / 64])
    }

    const fn all() -> Self {
        Self([u64::MAX; BLOCK / 64])
    }

    fn contains(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 == 1
    }

    fn insert(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn each(&self, mut f: impl FnMut(usize)) {
        for (word, mut bits) in self.0.iter().copied().enumerate() {
            while bits != 0 {
                f(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let mut kept = Self::none();
        self.each(|slot| {
            if keep(slot) {
                kept.insert(slot);
            }
        });
        *self = kept;
    }
}
