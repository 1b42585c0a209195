//! anchorhash, with capacity for twice the upstreams: its maximum is fixed at construction.

use crate::{Key, Placement, address, number};
use anchorhash::{AnchorHash, Builder};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::net::SocketAddr;
use std::ops::Range;

/// SipHash with fixed keys. The crate's default draws random keys in each process, so proxies would disagree.
type Fixed = BuildHasherDefault<DefaultHasher>;

pub(crate) struct Anchor(AnchorHash<Key, SocketAddr, Fixed>);

impl Anchor {
    pub(crate) fn new(numbers: Range<usize>) -> Self {
        let room = u16::try_from(2 * numbers.len()).unwrap_or(u16::MAX);
        Self(Builder::with_hasher(Fixed::default()).with_resources(numbers.map(address)).build(room))
    }
}

impl Placement for Anchor {
    type Answer = Option<SocketAddr>;

    fn place(&mut self, key: &Key) -> Option<SocketAddr> {
        self.0.get_resource(*key).copied()
    }

    fn number(&self, answer: &Option<SocketAddr>) -> usize {
        answer.as_ref().map_or(usize::MAX, number)
    }

    fn add(&mut self, number: usize) {
        self.0.add_resource(address(number)).expect("there is room for twice as many");
    }

    fn remove(&mut self, number: usize) {
        self.0.remove_resource(&address(number)).expect("only what is there is removed");
    }
}
