//! Which upstream gets each slot where shares are capped slightly above their fair size.
//!
//! The rule is greedy: of all pairs of slot and upstream, by score, a pair is taken where the slot is free and the
//! upstream has room. Slots and upstreams judge a pair by the same score, so the rule takes the one stable matching of
//! slots to upstreams, and deferred acceptance (Gale and Shapley, American Mathematical Monthly 69, 1962) finds it
//! from any start and in any order: each slot asks its first choice; an upstream that is asked too often keeps its
//! best slots, and the others ask on. Only slots that are passed on cost more than a count.

use super::ranking::{Field, NO_UPSTREAM, RANKS, Ranking};
use super::score::{BLOCK, Bid, MAX_BLOCKS, TIME_BITS};
use std::collections::BinaryHeap;

/// The most slots that each contender may get: `slack` millionths above its share, or the share rounded up where that
/// is more, so that there is room for all.
pub(super) fn capacities(field: &Field, slots: usize, slack: u32) -> Vec<usize> {
    let total = u128::from(field.total_weight);
    let share = |weight: u16| slots as u128 * u128::from(weight);
    let capacity = |weight| {
        (share(weight) * u128::from(1_000_000 + slack) / (total * 1_000_000)).max(share(weight).div_ceil(total))
    };
    field.contenders.iter().map(|contender| capacity(contender.weight) as usize).collect()
}

/// The number of the contender that gets each slot: its first, where there is no `slack`, and otherwise the first
/// that has room.
pub(super) fn assign(ranking: &Ranking, slack: Option<u32>) -> Vec<u16> {
    let first: Vec<u16> = ranking.ranks.iter().map(|ranks| ranks[0]).collect();
    match slack {
        Some(slack) => Assignment::new(ranking, first, slack).settle(),
        None => first,
    }
}

/// The slots of a contender.
struct Holding {
    capacity: usize,
    /// How many slots, while there is room for more.
    count: usize,
    /// Slots that were passed on from others, while there is room for more.
    more: Vec<u32>,
    /// Once a slot had to be passed on: the slots it holds, the worst on top.
    full: Option<BinaryHeap<u64>>,
}

impl Holding {
    /// A slot's bid must be less than this.
    fn worst(&self) -> u64 {
        self.full.as_ref().map_or(u64::MAX, |full| full.peek().copied().unwrap_or(0))
    }
}

struct Assignment<'a> {
    ranking: &'a Ranking,
    holder: Vec<u16>,
    holdings: Vec<Holding>,
    /// All slots, by their first choice.
    by_first: Vec<u32>,
    /// Where each contender's slots begin in `by_first`, and the end.
    begins: Vec<usize>,
    sent_on: Vec<u32>,
}

const SLOT_BITS: u32 = 64 - TIME_BITS;
/// The most slots a table can have.
pub(super) const MAX_SLOTS: usize = MAX_BLOCKS * BLOCK;
const _: () = assert!(MAX_SLOTS <= 1 << SLOT_BITS);

/// A slot that a contender holds, with its bid's score above it.
fn held(bid: Bid, slot: u32) -> u64 {
    bid.score() << SLOT_BITS | u64::from(slot)
}

impl<'a> Assignment<'a> {
    fn new(ranking: &'a Ranking, first: Vec<u16>, slack: u32) -> Self {
        let mut begins = vec![0; ranking.field.len() + 1];
        for index in &first {
            begins[usize::from(*index) + 1] += 1;
        }
        let capacities = capacities(&ranking.field, first.len(), slack);
        let holding =
            |(capacity, count): (usize, &usize)| Holding { capacity, count: *count, more: Vec::new(), full: None };
        let holdings = capacities.into_iter().zip(&begins[1..]).map(holding).collect();
        for index in 1..begins.len() {
            begins[index] += begins[index - 1];
        }
        let mut next = begins.clone();
        let mut by_first = vec![0; first.len()];
        for (slot, index) in (0..).zip(&first) {
            let place = &mut next[usize::from(*index)];
            by_first[*place] = slot;
            *place += 1;
        }
        Self { ranking, holder: first, holdings, by_first, begins, sent_on: Vec::new() }
    }

    fn settle(mut self) -> Vec<u16> {
        for index in 0..self.holdings.len() {
            if self.holdings[index].count > self.holdings[index].capacity {
                self.fill(index as u16);
            }
        }
        let mut unranked = Vec::new();
        loop {
            while let Some(slot) = self.sent_on.pop() {
                let ranks = &self.ranking.ranks[slot as usize];
                let asked = ranks.iter().position(|rank| *rank == self.holder[slot as usize]);
                let others = asked.map_or(&[][..], |asked| &ranks[asked + 1..]);
                if !others.iter().any(|index| *index != NO_UPSTREAM && self.ask(*index, slot)) {
                    unranked.push(slot);
                }
            }
            if unranked.is_empty() {
                return self.holder;
            }
            self.search(&mut unranked);
        }
    }

    /// Offers `slot` to a contender, which takes it unless it holds better ones only.
    fn ask(&mut self, index: u16, slot: u32) -> bool {
        let holding = &mut self.holdings[usize::from(index)];
        if let Some(full) = &mut holding.full {
            let this = held(self.ranking.field.bid(index, slot as usize), slot);
            match full.peek_mut() {
                Some(mut worst) if this < *worst => {
                    self.sent_on.push(slot_of(*worst));
                    *worst = this;
                    self.holder[slot as usize] = index;
                }
                _ => return false,
            }
        } else {
            holding.count += 1;
            holding.more.push(slot);
            self.holder[slot as usize] = index;
            if holding.count > holding.capacity {
                self.fill(index);
            }
        }
        true
    }

    /// From now on the contender keeps its best.
    fn fill(&mut self, index: u16) {
        let at = usize::from(index);
        let holding = &mut self.holdings[at];
        let first = &self.by_first[self.begins[at]..self.begins[at + 1]];
        let slots = first.iter().chain(&holding.more);
        let field = &self.ranking.field;
        let mut full: BinaryHeap<u64> = slots.map(|slot| held(field.bid(index, *slot as usize), *slot)).collect();
        while full.len() > holding.capacity {
            self.sent_on.extend(full.pop().map(slot_of));
        }
        holding.full = Some(full);
    }

    /// Finds for each slot in `unranked` the first contender that would take it, and asks. A contender that refused a
    /// slot always will, so refusals need not be remembered.
    fn search(&mut self, unranked: &mut Vec<u32>) {
        unranked.sort_unstable();
        let worst: Vec<u64> = self.holdings.iter().map(Holding::worst).collect();
        let mut found = Vec::with_capacity(unranked.len());
        for slots in unranked.chunk_by(|a, b| *a as usize / BLOCK == *b as usize / BLOCK) {
            self.search_block(slots[0] as usize / BLOCK, slots, &worst, &mut found);
        }
        unranked.clear();
        for (slot, bid) in found {
            // Another slot of this list may have taken the place: search again.
            if !self.ask(bid.index(), slot) {
                unranked.push(slot);
            }
        }
    }

    fn search_block(&self, block: usize, slots: &[u32], worst: &[u64], found: &mut Vec<(u32, Bid)>) {
        let field = &self.ranking.field;
        let last = |slot: &u32| field.bid(self.ranking.ranks[*slot as usize][RANKS - 1], *slot as usize);
        // Contenders that were not asked yet come after the ranks.
        let Some(earliest) = slots.iter().map(last).min() else { return };
        let begin = found.len();
        found.extend(slots.iter().map(|slot| (*slot, Bid::NONE)));
        for (index, (contender, worst)) in field.contenders.iter().zip(worst).enumerate() {
            if *worst < held(earliest, 0) {
                continue;
            }
            let hand = contender.hand(block);
            let strata = hand.strata();
            for (slot, best) in &mut found[begin..] {
                let within = *slot as usize % BLOCK;
                let stratum = strata(within);
                if hand.may_beat(*best, stratum) {
                    let bid = hand.bid(stratum, within, index);
                    if bid < *best && held(bid, *slot) < *worst {
                        *best = bid;
                    }
                }
            }
        }
    }
}

fn slot_of(held: u64) -> u32 {
    (held & ((1 << SLOT_BITS) - 1)) as u32
}
