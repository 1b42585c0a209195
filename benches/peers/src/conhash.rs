//! conhash: a hash ring by MD5, in a B-tree.

use crate::{Key, POINTS, Placement, address, number};
use conhash::{ConsistentHash, Node};
use std::net::SocketAddr;
use std::ops::Range;

#[derive(Clone)]
struct Upstream(SocketAddr);

impl Node for Upstream {
    fn name(&self) -> String {
        self.0.to_string()
    }
}

pub(crate) struct Ring(ConsistentHash<Upstream>);

impl Ring {
    pub(crate) fn new(numbers: Range<usize>) -> Self {
        let mut ring = Self(ConsistentHash::new());
        numbers.for_each(|number| ring.add(number));
        ring
    }
}

impl Placement for Ring {
    type Answer = Option<SocketAddr>;

    fn place(&mut self, key: &Key) -> Option<SocketAddr> {
        self.0.get(key).map(|upstream| upstream.0)
    }

    fn number(&self, answer: &Option<SocketAddr>) -> usize {
        answer.as_ref().map_or(usize::MAX, number)
    }

    fn add(&mut self, number: usize) {
        self.0.add(&Upstream(address(number)), POINTS as usize);
    }

    fn remove(&mut self, number: usize) {
        self.0.remove(&Upstream(address(number)));
    }
}
