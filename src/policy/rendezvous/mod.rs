//! Weighted rendezvous hashing, as a table of slots.
//!
//! The documentation of [`Rendezvous`] has the rationale. That the least of exponential variates falls by weight is also
//! what consistent weighted sampling rests on (Manasse, McSherry and Talwar, 2010).
//!
//! Files, in reading order:
//!
//! - `score.rs`: the score of an upstream for a slot, and its slots in the order of their scores;
//! - `ranking.rs`: the first to fourth upstream of each slot, made anew or from the last ranking;
//! - `assign.rs`: the upstream of each slot where shares are capped;
//! - `bound.rs`: requests in flight, bounded.

mod assign;
mod bound;
mod ranking;
mod score;
#[cfg(test)]
mod tests;

use super::Policy;
use super::key::point;
use super::params::{ParamError, Params, PolicyConfig};
use crate::cluster::{Cluster, Session};
use assign::MAX_SLOTS;
use bound::{Bound, within};
use ranking::{Field, Ranking};
use score::BLOCK;
use std::str::FromStr;
use std::sync::Arc;

/// Slots for each upstream, at least: a share is a whole number of slots.
const SLOTS_EACH: usize = 256;
/// Tables grow by this factor: keys move where the size changes, so it should change seldom.
const GROWTH: usize = 4;
/// Up to this size a table keeps within 2 % of the shares, above it within 5 %: a share has fewer slots there, so
/// chance moves it further from its mean.
const SMALL: usize = 1 << 16;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct RendezvousConfig {
    mode: Mode,
    /// How far above its share an upstream may be given slots; 0 depends on the size of the table.
    epsilon: f64,
    /// The size of the table; 0 depends on the number of upstreams.
    slots: usize,
    /// How far above its share an upstream may have requests in flight; 0 is no bound.
    load_factor: f64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    Balanced,
    Strict,
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "balanced" => Ok(Self::Balanced),
            "strict" => Ok(Self::Strict),
            _ => Err(()),
        }
    }
}

impl PolicyConfig for RendezvousConfig {
    const PARAMS: &'static [&'static str] = &["epsilon", "load_factor", "mode", "slots"];

    fn read(params: &mut Params) -> Result<Self, ParamError> {
        let mode = params.take("mode", Mode::Balanced, "balanced or strict", |_| true)?;
        let epsilon = params.take("epsilon", 0.0, "0 (by the size of the table), or 0.01 to 1", |epsilon| {
            *epsilon == 0.0 || (0.01..=1.0).contains(epsilon)
        })?;
        let sizes = "0 (by the number of upstreams), or a power of two from 4096 to 1048576";
        let slots = params.take("slots", 0, sizes, |slots: &usize| {
            *slots == 0 || slots.is_power_of_two() && (BLOCK..=MAX_SLOTS).contains(slots)
        })?;
        let load_factor = params.take("load_factor", 0.0, "0 (no bound), or 1 to 100", |factor| {
            *factor == 0.0 || (1.0..=100.0).contains(factor)
        })?;
        Ok(Self { mode, epsilon, slots, load_factor })
    }

    fn build(&self, cluster: &Cluster) -> Box<dyn Policy> {
        Box::new(Rendezvous::with(*self, cluster, None))
    }
}

impl RendezvousConfig {
    const DEFAULT: Self = Self { mode: Mode::Balanced, epsilon: 0.0, slots: 0, load_factor: 0.0 };

    fn slots(&self, upstreams: usize) -> usize {
        let mut slots = BLOCK;
        while self.slots == 0 && slots < upstreams * SLOTS_EACH && slots < MAX_SLOTS {
            slots *= GROWTH;
        }
        slots.max(self.slots)
    }

    /// How far above its share an upstream may be given slots, in millionths; `None` is no cap.
    fn slack(&self, slots: usize) -> Option<u32> {
        let millionths = match self.epsilon {
            0.0 if slots <= SMALL => 20_000,
            0.0 => 50_000,
            epsilon => (epsilon * 1e6) as u32,
        };
        (self.mode == Mode::Balanced).then_some(millionths)
    }
}

/// What depends on the set of upstreams and their weights alone.
#[derive(Debug)]
struct Table {
    ranking: Ranking,
    /// By slot, the place of its upstream in the ranking's field.
    holders: Vec<u16>,
}

impl Table {
    fn new(config: RendezvousConfig, field: Field, last: Option<&Arc<Self>>) -> Arc<Self> {
        let slots = config.slots(field.len());
        let ranking = match last.filter(|last| last.holders.len() == slots) {
            Some(last) if last.ranking.field == field => return Arc::clone(last),
            Some(last) => last.ranking.updated(field),
            None => Ranking::new(field, slots / BLOCK),
        };
        let holders = match ranking.field.len() {
            // An upstream that does not exist, and so accepts nothing.
            0 => vec![0; slots],
            _ => assign::assign(&ranking, config.slack(slots)),
        };
        Arc::new(Self { ranking, holders })
    }
}

/// By the key's hash, the same on every proxy, with few keys moved by a membership change. One table load a pick.
///
/// The key is the session's; without one, the client's address; if that is unknown, the session id. The placement
/// depends on the set of upstreams' names and weights, not on their order.
///
/// | parameter | |
/// |---|---|
/// | `mode` | `balanced` (the default): shares of the slots are capped, for which a few more keys move at a change than must. `strict`: exactly those move that must, and shares vary by chance: the largest of 10 by some 5 %, of 1000 by 15 % |
/// | `epsilon` | how far above its share an upstream may be given slots, 0.01 to 1; 0, the default: 0.02 in tables of up to 65,536 slots, 0.05 in larger ones |
/// | `slots` | the size of the table, a power of two from 4096 to 1,048,576; 0, the default: the first of 4096, 16,384, 65,536 and so on that has 256 for each upstream |
/// | `load_factor` | the most that an upstream may have in flight, times the average by weight, 1 to 100; 0, the default: any. What is in flight is this process's own count, so proxies may then differ |
///
/// An upstream that accepts no session changes no table: each slot lists the next three in its order. A key whose four
/// first do not accept follows its own rendezvous order, which costs one hash an upstream.
///
/// A table takes twelve bytes a slot. Where added upstreams make it four times as large, three quarters of all keys
/// are placed anew: if a cluster grows and shrinks across 16, 64, 256, 1024 or 4096 upstreams, set `slots` for the
/// largest size.
///
#[doc = include_str!("rationale.md")]
#[derive(Debug)]
pub struct Rendezvous {
    config: RendezvousConfig,
    table: Arc<Table>,
    /// The index in the cluster of each place in the ranking's field.
    members: Box<[u16]>,
    /// The index in the cluster of each slot's holder.
    holders: Box<[u16]>,
    bound: Option<Bound>,
}

impl Rendezvous {
    /// For `cluster`, with every parameter at its default. Costs about fifteen hashes a slot.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self::with(RendezvousConfig::DEFAULT, cluster, None)
    }

    fn with(config: RendezvousConfig, cluster: &Cluster, last: Option<&Arc<Table>>) -> Self {
        let (field, members) = Field::new(cluster);
        let table = Table::new(config, field, last);
        let index = |place: &u16| members.get(usize::from(*place)).copied().unwrap_or_default();
        let holders = table.holders.iter().map(index).collect();
        let bound = (config.load_factor > 0.0).then(|| Bound::new(config.load_factor));
        Self { config, table, members, holders, bound }
    }

    /// The first for which `takes` returns true: the slot's holder, its ranks, then along the key's own order.
    fn walk(&self, cluster: &Cluster, point: u64, takes: impl Fn(usize) -> bool) -> Option<usize> {
        let slot = point as usize & (self.holders.len() - 1);
        let holder = usize::from(self.holders[slot]);
        if takes(holder) { Some(holder) } else { self.walk_on(cluster, point, slot, takes) }
    }

    #[cold]
    fn walk_on(&self, cluster: &Cluster, point: u64, slot: usize, takes: impl Fn(usize) -> bool) -> Option<usize> {
        let ranks = self.table.ranking.ranks[slot].iter();
        let mut ranked = ranks.filter_map(|rank| self.members.get(usize::from(*rank)).map(|index| usize::from(*index)));
        ranked.find(|index| takes(*index)).or_else(|| cluster.first_in_order(point, takes))
    }
}

impl Rendezvous {
    fn find(&self, cluster: &Cluster, session: &Session<'_>, share: fn(&Bound, &Cluster) -> f64) -> Option<usize> {
        let point = point(session);
        if let Some(bound) = &self.bound {
            let share = share(bound, cluster);
            let takes = |index| cluster.accepts(index, session) && within(cluster, index, share);
            if let Some(index) = self.walk(cluster, point, takes) {
                return Some(index);
            }
            // All that accept are above their share, because the others have less than theirs.
        }
        self.walk(cluster, point, |index| cluster.accepts(index, session))
    }
}

impl Policy for Rendezvous {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.find(cluster, session, Bound::share)
    }

    fn peek(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.find(cluster, session, Bound::next_share)
    }

    fn rebuilt(&self, cluster: &Cluster) -> Option<Box<dyn Policy>> {
        Some(Box::new(Self::with(self.config, cluster, Some(&self.table))))
    }

    fn is_keyed(&self) -> bool {
        true
    }
}
