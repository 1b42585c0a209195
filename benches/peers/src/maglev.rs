//! maglev: a Maglev table, rebuilt for each change. The user chooses its size, which must not change.

use crate::{Key, Placement, address, number};
use maglev::{ConsistentHasher, Maglev};
use std::net::SocketAddr;
use std::ops::Range;

/// The slots of the table, as in Envoy.
const SLOTS: usize = 65_537;

pub(crate) struct Table(Maglev<SocketAddr>);

impl Table {
    pub(crate) fn new(numbers: Range<usize>) -> Self {
        Self::of(numbers.map(address).collect())
    }

    fn of(addresses: Vec<SocketAddr>) -> Self {
        Self(Maglev::with_capacity(addresses, SLOTS))
    }
}

impl Placement for Table {
    type Answer = Option<SocketAddr>;

    /// Construction holds every upstream's permutation of all slots: half a gigabyte for 1000 upstreams.
    const MOST: usize = 1000;

    fn place(&mut self, key: &Key) -> Option<SocketAddr> {
        self.0.get(key).copied()
    }

    fn number(&self, answer: &Option<SocketAddr>) -> usize {
        answer.as_ref().map_or(usize::MAX, number)
    }

    fn add(&mut self, number: usize) {
        *self = Self::of(self.0.nodes().iter().copied().chain([address(number)]).collect());
    }

    fn remove(&mut self, number: usize) {
        let gone = address(number);
        *self = Self::of(self.0.nodes().iter().copied().filter(|address| *address != gone).collect());
    }
}
