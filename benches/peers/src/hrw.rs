//! hrw-hash: rendezvous hashing that scores and sorts all upstreams for each key. It is immutable: a change builds a
//! new one.

use crate::{Key, Placement, address, number};
use hrw_hash::{HrwNode, HrwNodes};
use std::net::SocketAddr;
use std::ops::Range;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Upstream(SocketAddr);

impl HrwNode for Upstream {}

pub(crate) struct Scan {
    numbers: Vec<usize>,
    nodes: HrwNodes<Upstream>,
}

impl Scan {
    pub(crate) fn new(numbers: Range<usize>) -> Self {
        Self::of(numbers.collect())
    }

    fn of(numbers: Vec<usize>) -> Self {
        Self { nodes: HrwNodes::new(numbers.iter().map(|number| Upstream(address(*number)))), numbers }
    }
}

impl Placement for Scan {
    type Answer = Option<SocketAddr>;

    const SCANS: bool = true;

    fn place(&mut self, key: &Key) -> Option<SocketAddr> {
        self.nodes.sorted(key).next().map(|upstream| upstream.0)
    }

    fn number(&self, answer: &Option<SocketAddr>) -> usize {
        answer.as_ref().map_or(usize::MAX, number)
    }

    fn add(&mut self, number: usize) {
        let numbers = self.numbers.iter().copied().chain([number]).collect();
        *self = Self::of(numbers);
    }

    fn remove(&mut self, number: usize) {
        let numbers = self.numbers.iter().copied().filter(|other| *other != number).collect();
        *self = Self::of(numbers);
    }
}
