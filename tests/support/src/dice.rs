//! Random choices from a seed that is printed and can be set by `HOMING_SEED`.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// SplitMix64 (Steele, Lea and Flood: Fast splittable pseudorandom number generators, 2014).
pub struct Dice(Cell<u64>);

impl Dice {
    /// From `HOMING_SEED`, or a new seed.
    pub fn new(test: &str) -> Self {
        let given = std::env::var("HOMING_SEED").ok().map(|seed| seed.parse().expect("HOMING_SEED is a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(test) >> 32);
        println!("{test}: HOMING_SEED={seed}");
        // Tests run concurrently and draw addresses to listen on, so each test has its own sequence.
        let own = test.bytes().fold(seed, |seed, byte| Self(Cell::new(seed ^ u64::from(byte))).bits());
        Self(Cell::new(own))
    }

    pub fn bits(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mixed = self.0.get();
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    /// True with a probability of 1 / `count`.
    pub fn one_in(&self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn shuffle<T>(&self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// A client address of either family, including addresses with runs of zeros and IPv4 addresses inside IPv6.
    pub fn client(&self) -> IpAddr {
        let v4 = Ipv4Addr::from_bits(self.bits() as u32);
        let holding = |words: u128| Ipv6Addr::from_bits(words << 32 | u128::from(v4.to_bits())).into();
        match self.below(8) {
            0..=2 => v4.into(),
            3 => holding(0xffff),
            4 => holding(0),
            5 => Ipv6Addr::from_bits(u128::from(self.bits()) >> self.below(64)).into(),
            6 => Ipv6Addr::from(std::array::from_fn::<u16, 8, _>(|_| self.bits() as u16 * u16::from(self.one_in(2))))
                .into(),
            _ => Ipv6Addr::from_bits(u128::from(self.bits()) << 64 | u128::from(self.bits())).into(),
        }
    }

    /// 1 to 40 bytes that are valid in a field value and contain no comma.
    pub fn key(&self) -> Vec<u8> {
        let byte = || match self.bits() as u8 {
            b'!'..=b'~' if self.one_in(30) => b'.',
            byte @ (b'!'..=b'+' | b'-'..=b'~' | 0x80..) => byte,
            byte => b'a' + byte % 26,
        };
        (0..=self.below(40)).map(|_| byte()).collect()
    }
}
