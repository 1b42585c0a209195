//! Least connections read off the load index.
//!
//! Upstreams of one weight form a group. On the [`LoadOrder`] each group has a level for each number in flight, and a
//! level has a position for each upstream of the group; so the group's least loaded are at its lowest positions. The
//! minima of the groups are compared as fractions, which is exact for all weights.

use crate::cluster::{Cluster, IndexSlot, LoadOrder, Session, SlowStartAccess};
use std::collections::BTreeMap;

/// With fewer upstreams to a group than this, a scan is as fast.
const GROUP: usize = 8;

/// How often a pick searches again because the upstream it found was about to move.
const RACES: usize = 16;

#[derive(Debug)]
pub(super) struct Ordered {
    order: LoadOrder,
    groups: Box<[Group]>,
    levels: usize,
}

/// Upstreams of one weight.
#[derive(Debug)]
struct Group {
    weight: u64,
    /// Its first position.
    first: usize,
    /// It has 2^shift positions a level.
    shift: u32,
    /// Indices in the cluster, ascending. An upstream's place in this list is its position within a level.
    members: Vec<u16>,
}

impl Group {
    fn level(&self, position: usize) -> usize {
        (position - self.first) >> self.shift
    }

    /// The first position of a level.
    fn position(&self, level: usize) -> usize {
        self.first + (level << self.shift)
    }

    /// The place of the first member whose index is not below `start`.
    fn place(&self, start: usize, cluster: &Cluster) -> usize {
        match self.members.len() == cluster.len() {
            true => start,
            false => self.members.partition_point(|index| usize::from(*index) < start),
        }
    }

    fn member(&self, position: usize) -> Option<usize> {
        let place = (position - self.first) & ((1 << self.shift) - 1);
        self.members.get(place).map(|index| usize::from(*index))
    }
}

impl Ordered {
    /// For `cluster`, in linear time; `None` where no bitmap is free, or a scan is as fast.
    pub(super) fn new(cluster: &Cluster) -> Option<Self> {
        Self::with_levels(cluster, IndexSlot::MAX_LEVELS)
    }

    /// With at most so many levels.
    pub(super) fn with_levels(cluster: &Cluster, most: usize) -> Option<Self> {
        let mut sizes: BTreeMap<u16, usize> = BTreeMap::new();
        for member in cluster.members() {
            *sizes.entry(member.weight()).or_default() += 1;
        }
        if sizes.len() * GROUP > cluster.len() {
            return None;
        }
        let widths: usize = sizes.values().map(|size| size.next_power_of_two()).sum();
        let levels = (LoadOrder::POSITIONS / widths).min(most);
        let mut first = 0;
        let group = |(weight, size): (u16, usize)| {
            let shift = size.next_power_of_two().ilog2();
            let group = Group { weight: weight.into(), first, shift, members: Vec::with_capacity(size) };
            first += levels << shift;
            (weight, group)
        };
        let mut groups: BTreeMap<u16, Group> = sizes.into_iter().map(group).collect();
        let mut slots = Vec::with_capacity(cluster.len());
        for (index, member) in (0_u16..).zip(cluster.members()) {
            let group = groups.get_mut(&member.weight())?;
            let first = group.first + group.members.len();
            slots.push(IndexSlot { first, shift: group.shift, levels, limit: member.max_in_flight() });
            group.members.push(index);
        }
        Some(Self { order: cluster.load_order(&slots)?, groups: groups.into_values().collect(), levels })
    }

    /// The least loaded that can take the session, of equals the first from `start` on; `None` where only a scan can
    /// tell.
    pub(super) fn place(&self, cluster: &Cluster, session: &Session<'_>, start: usize) -> Option<usize> {
        self.order.repair();
        for _ in 0..RACES {
            let (level, weight) = self.least(cluster, session)?;
            let equals = self.groups.iter().filter_map(|group| {
                let (low, high) = self.equals(group, level, weight)?;
                let from = low + group.place(start, cluster);
                self.first(group, from, high, cluster, session)
                    .or_else(|| self.first(group, low, from, cluster, session))
            });
            let turns = |index: usize| if index < start { index + cluster.len() } else { index };
            if let Some((index, position)) = equals.min_by_key(|(index, _)| turns(*index))
                && self.order.confirm(index, position)
            {
                return Some(index);
            }
        }
        None
    }

    /// The minimum of requests in flight by weight among those that can take the session, as a fraction.
    fn least(&self, cluster: &Cluster, session: &Session<'_>) -> Option<(usize, u64)> {
        let lowest = self.groups.iter().filter_map(|group| {
            let (_, position) = self.first(group, group.first, group.position(self.levels), cluster, session)?;
            Some((group.level(position), group.weight))
        });
        let least =
            lowest.min_by(|(a, its_weight), (b, weight)| (*a as u64 * weight).cmp(&(*b as u64 * its_weight)))?;
        // The last level is for all higher loads.
        (least.0 + 1 < self.levels).then_some(least)
    }

    /// The positions of a group's level with as much in flight by weight as `level` is by `weight`.
    fn equals(&self, group: &Group, level: usize, weight: u64) -> Option<(usize, usize)> {
        let level = match group.weight == weight {
            true => level,
            false => {
                let scaled = level as u64 * group.weight;
                scaled.is_multiple_of(weight).then_some((scaled / weight) as usize)?
            }
        };
        (level + 1 < self.levels).then(|| (group.position(level), group.position(level + 1)))
    }

    /// The first upstream of a group with a position in `from..end` that may take the session.
    fn first(
        &self,
        group: &Group,
        mut from: usize,
        end: usize,
        cluster: &Cluster,
        session: &Session<'_>,
    ) -> Option<(usize, usize)> {
        while let Some(position) = self.order.first(from, end) {
            match group.member(position) {
                None => self.order.clear_position(position),
                Some(index) => {
                    let is_open = || cluster.members().get(index).is_none_or(|member| member.is_open_to(session));
                    if (session.tried.is_empty() && session.slow_start == SlowStartAccess::All) || is_open() {
                        return Some((index, position));
                    }
                }
            }
            from = position + 1;
        }
        None
    }
}
