//! hashring: a sorted ring. The user makes the points of each upstream, as its documentation shows.

use crate::{Key, POINTS, Placement, address};
use hashring::HashRing;
use std::hash::{Hash, Hasher};
use std::ops::Range;

#[derive(Clone, Copy, PartialEq)]
struct Point {
    number: u32,
    point: u32,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (address(self.number as usize), self.point).hash(state);
    }
}

fn points(number: usize) -> impl Iterator<Item = Point> {
    (0..POINTS).map(move |point| Point { number: number as u32, point })
}

pub(crate) struct Ring(HashRing<Point>);

impl Ring {
    pub(crate) fn new(numbers: Range<usize>) -> Self {
        let mut ring = HashRing::new();
        ring.batch_add(numbers.flat_map(points).collect());
        Self(ring)
    }
}

impl Placement for Ring {
    type Answer = Option<u32>;

    fn place(&mut self, key: &Key) -> Option<u32> {
        self.0.get(key).map(|point| point.number)
    }

    fn number(&self, answer: &Option<u32>) -> usize {
        answer.map_or(usize::MAX, |number| number as usize)
    }

    fn add(&mut self, number: usize) {
        self.0.batch_add(points(number).collect());
    }

    fn remove(&mut self, number: usize) {
        for point in points(number) {
            self.0.remove(&point);
        }
    }
}
