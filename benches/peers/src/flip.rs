//! fliphash: a function of a key and a number of upstreams. It has no state, and only the last upstream can be removed.

use crate::{Key, Placement};
use fliphash::fliphash_xxh3_64;
use std::ops::Range;

pub(crate) struct Flip(Range<usize>);

impl Flip {
    pub(crate) fn new(numbers: Range<usize>) -> Self {
        Self(numbers)
    }
}

impl Placement for Flip {
    type Answer = usize;

    const LAST_ONLY: bool = true;

    fn place(&mut self, key: &Key) -> usize {
        self.0.start + fliphash_xxh3_64(key, ..=self.0.len() as u64 - 1) as usize
    }

    fn number(&self, answer: &usize) -> usize {
        *answer
    }

    fn add(&mut self, number: usize) {
        assert_eq!(number, self.0.end, "upstreams come in order");
        self.0.end += 1;
    }

    fn remove(&mut self, number: usize) {
        assert_eq!(number + 1, self.0.end, "upstreams go in order");
        self.0.end -= 1;
    }
}
