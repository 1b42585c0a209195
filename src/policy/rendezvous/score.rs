//! The score of one upstream for one slot, and the slots of one upstream in the order of their scores.
//!
//! Weighted rendezvous hashing gives each pair of upstream and slot an exponential variate divided by the weight.
//! Drawing all of them takes N·M logarithms, of which a slot needs the few least. So they are drawn in strata: in each
//! block of [`BLOCK`] slots an upstream deals the slots out by a permutation of its own, and the slot dealt as number
//! q has a variate in the q-th of as many equally likely intervals. For one slot and upstream that is still an
//! exponential variate, independent of the other upstreams'; and an upstream's best slots can be listed in order
//! without visiting the others.
//!
//! Integer arithmetic, and IEEE additions and multiplications only: every platform agrees to the bit. (`f64::ln` is
//! whatever the platform's libm makes it.)

use crate::cluster::MAX_UPSTREAMS;
use crate::hash::{GOLDEN, exponential, mix64};
use std::ops::Range;

const BITS: u32 = 12;

/// Slots in a block. A block's scores depend on nothing outside it, so a table that grows keeps its first blocks.
pub(super) const BLOCK: usize = 1 << BITS;
const MASK: u32 = BLOCK as u32 - 1;

/// Where each stratum begins: minus the logarithm of 1 - q/BLOCK. The last one has no end; it is given the width that
/// keeps its mean.
static STARTS: [f64; BLOCK + 1] = starts();

const fn starts() -> [f64; BLOCK + 1] {
    let mut starts = [0.0; BLOCK + 1];
    let mut q = 1;
    while q < BLOCK {
        starts[q] = exponential(((BLOCK - q) as u64) << (64 - BITS));
        q += 1;
    }
    starts[BLOCK] = starts[BLOCK - 1] + 2.0;
    starts
}

/// The inverse of each odd number modulo [`BLOCK`], by half of it.
static INVERSES: [u16; BLOCK / 2] = inverses();

const fn inverses() -> [u16; BLOCK / 2] {
    let mut inverses = [0; BLOCK / 2];
    let mut half = 0;
    while half < BLOCK / 2 {
        let odd = 2 * half as u32 + 1;
        // Newton's iteration doubles the bits that are right: 3, 6, 12.
        let mut inverse = odd;
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
        inverses[half] = (inverse & MASK) as u16;
        half += 1;
    }
    inverses
}

/// Bits of an upstream's number in the order of ids, below its score: what breaks ties.
const INDEX_BITS: u32 = 14;
const _: () = assert!(MAX_UPSTREAMS < 1 << INDEX_BITS);

/// A score with the number of its upstream: the less, the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Bid(u64);

impl Bid {
    pub(super) const LEAST: Self = Self(0);
    pub(super) const NONE: Self = Self(u64::MAX);

    /// No bid with a score of `time` or more is less.
    pub(super) fn least(time: f64) -> Self {
        Self((time.to_bits() >> TIME_SHIFT) << INDEX_BITS)
    }

    /// The number of the upstream.
    pub(super) fn index(self) -> u16 {
        (self.0 & ((1 << INDEX_BITS) - 1)) as u16
    }

    /// The score alone, in [`TIME_BITS`] bits.
    pub(super) fn score(self) -> u64 {
        self.0 >> INDEX_BITS
    }
}

/// Bits of a score: an f64 is never negative here, so its bits have its order, and the exponent with 32 bits of
/// mantissa tell enough.
pub(super) const TIME_BITS: u32 = 44;
const TIME_SHIFT: u32 = 64 - TIME_BITS;

/// One of those that contend for the slots.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Contender {
    pub(super) id: u64,
    pub(super) weight: u16,
    /// One divided by the weight.
    scale: f64,
}

impl Contender {
    pub(super) fn new(id: u64, weight: u16) -> Self {
        Self { id, weight, scale: 1.0 / f64::from(weight) }
    }

    /// Its permutation of the slots of `block`.
    pub(super) fn hand(self, block: usize) -> Hand {
        Hand { key: mix64(self.id ^ SALTS[block]), scale: self.scale }
    }

    /// How many of its strata a bid may come from that is no greater than `bid`.
    pub(super) fn strata_within(self, bid: Bid) -> u16 {
        match bid {
            Bid::NONE => BLOCK as u16,
            bid => self.strata_before(f64::from_bits((bid.score() + 1) << TIME_SHIFT), 0),
        }
    }

    /// How many strata begin before `time`, where `from` did before.
    pub(super) fn strata_before(self, time: f64, from: u16) -> u16 {
        let begun = STARTS[usize::from(from)..BLOCK].iter().take_while(|start| **start * self.scale < time);
        from + begun.count() as u16
    }
}

/// The most blocks that a table can have.
pub(super) const MAX_BLOCKS: usize = 256;

/// What makes the blocks of a contender different.
static SALTS: [u64; MAX_BLOCKS] = salts();

const fn salts() -> [u64; MAX_BLOCKS] {
    let mut salts = [0; MAX_BLOCKS];
    let mut block = 0;
    while block < MAX_BLOCKS {
        salts[block] = mix64((block as u64 + 1).wrapping_mul(GOLDEN));
        block += 1;
    }
    salts
}

/// How a contender deals out the slots of one block: as the key of a permutation.
///
/// Three affine steps modulo the block, each with its own odd factor, and between them the upper half is folded on the
/// lower: each step can be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hand {
    key: u64,
    scale: f64,
}

impl Hand {
    /// The factor and the addend of each step.
    fn steps(self) -> [(u32, u32); 3] {
        let part = |shift: u32| (self.key >> shift) as u32;
        [(part(0) | 1, part(12)), (part(23) | 1, part(31)), (part(42) | 1, part(52))]
    }

    /// The numbers `strata`, each with the slot within the block that is dealt as it.
    #[inline]
    pub(super) fn dealt(self, strata: Range<u16>) -> impl Iterator<Item = (u16, usize)> {
        let [a, b, c] = self.steps();
        let step = |x: u32, (factor, add): (u32, u32)| x.wrapping_mul(factor).wrapping_add(add) & MASK;
        strata.map(move |stratum| {
            let x = step(u32::from(stratum), a);
            let x = step(x ^ (x >> (BITS / 2)), b);
            let x = step(x ^ (x >> (BITS / 2)), c);
            (stratum, x as usize)
        })
    }

    /// Tells the number under which a slot is dealt.
    #[inline]
    pub(super) fn strata(self) -> impl Fn(usize) -> u16 {
        let back = |(factor, add): (u32, u32)| (u32::from(INVERSES[((factor & MASK) >> 1) as usize]), add);
        let [a, b, c] = self.steps().map(back);
        let step = |x: u32, (inverse, add): (u32, u32)| x.wrapping_sub(add).wrapping_mul(inverse) & MASK;
        move |slot| {
            let x = step(slot as u32, c);
            let x = step(x ^ (x >> (BITS / 2)), b);
            let x = step(x ^ (x >> (BITS / 2)), a);
            x as u16
        }
    }

    /// The bid of the contender `index` for the slot that is dealt as number `stratum`.
    #[inline]
    pub(super) fn bid(self, stratum: u16, slot: usize, index: usize) -> Bid {
        let z = self.key.wrapping_add((slot as u64).wrapping_mul(GOLDEN));
        let within = ((z ^ (z >> 32)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as f64 / 4_294_967_296.0;
        let q = usize::from(stratum);
        let time = (STARTS[q] + within * (STARTS[q + 1] - STARTS[q])) * self.scale;
        Bid(Bid::least(time).0 | index as u64)
    }

    /// The bid of the contender `index` for `slot`.
    #[inline]
    pub(super) fn bid_for(self, slot: usize, index: usize) -> Bid {
        self.bid(self.strata()(slot), slot, index)
    }

    /// Whether a bid for the slot that is dealt as number `stratum` may be less than `bid`.
    #[inline]
    pub(super) fn may_beat(self, bid: Bid, stratum: u16) -> bool {
        Bid::least(STARTS[usize::from(stratum)] * self.scale) < bid
    }
}
