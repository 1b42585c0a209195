//! Weighted rendezvous hashing, as a table of slots.
//!
//! A key's hash is a slot, and for each slot the upstreams stand in an order of its own, by an exponential variate
//! divided by the weight: an upstream comes first in a share of slots that is its share of the weights, and when it
//! goes, only its slots change hands. (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates",
//! IEEE/ACM ToN 6(1), 1998; with weights Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005.
//! That the least of exponential variates falls by weight is also what consistent weighted sampling rests on: Manasse,
//! McSherry and Talwar, 2010.) A scan of all upstreams for each pick finds the first; here the first of each slot are
//! worked out once, for each change of membership.
//!
//! - `score.rs`: what a slot is worth to an upstream;
//! - `ranking.rs`: who comes first to fourth in each slot, made anew or from the last ranking;
//! - `assign.rs`: who gets it where shares are capped;
//! - `bound.rs`: requests in flight, bounded.

mod assign;
mod bound;
mod ranking;
mod score;
#[cfg(test)]
mod tests;

use super::Policy;
use super::params::{Configure, ParamError, Params};
use crate::cluster::{Cluster, Session};
use crate::hash::{hash_bytes, mix64};
use assign::MAX_SLOTS;
use bound::{Bound, within};
use ranking::{Field, Ranking};
use score::BLOCK;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

/// Slots for each upstream, at least: a share is a whole number of slots.
const SLOTS_EACH: usize = 256;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Config {
    /// How far above its share an upstream may be given slots, in millionths; none is without a cap.
    slack: Option<u32>,
    /// The size of the table; 0 goes by the number of upstreams.
    slots: usize,
    /// How far above its share an upstream may have requests in flight; 0 is without a bound.
    load_factor: f64,
}

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

impl Configure for Config {
    const PARAMS: &'static [&'static str] = &["epsilon", "load_factor", "mode", "slots"];

    fn read(params: &mut Params) -> Result<Self, ParamError> {
        let mode = params.take("mode", Mode::Balanced, "balanced or strict", |_| true)?;
        let epsilon =
            params.take("epsilon", 0.02, "0.01 to 1, for a cap of 1 % to 100 % above the share", |epsilon| {
                (0.01..=1.0).contains(epsilon)
            })?;
        let sizes = "0 (256 an upstream), or a power of two from 4096 to 1048576";
        let slots = params.take("slots", 0, sizes, |slots: &usize| {
            *slots == 0 || slots.is_power_of_two() && (BLOCK..=MAX_SLOTS).contains(slots)
        })?;
        let load_factor = params.take("load_factor", 0.0, "0 (no bound), or 1 to 100 times the average", |factor| {
            *factor == 0.0 || (1.0..=100.0).contains(factor)
        })?;
        let slack = match mode {
            Mode::Balanced => Some((epsilon * 1e6) as u32),
            Mode::Strict => None,
        };
        Ok(Self { slack, slots, load_factor })
    }

    fn build(&self, cluster: &Cluster) -> Box<dyn Policy> {
        Box::new(Rendezvous::with(*self, cluster, None))
    }
}

impl Config {
    const DEFAULT: Self = Self { slack: Some(20_000), slots: 0, load_factor: 0.0 };

    fn blocks(&self, upstreams: usize) -> usize {
        let slots = match self.slots {
            0 => (upstreams * SLOTS_EACH).next_power_of_two().clamp(BLOCK, MAX_SLOTS),
            slots => slots,
        };
        slots / BLOCK
    }
}

/// What depends on the set of upstreams and their weights alone.
#[derive(Debug)]
struct Table {
    ranking: Ranking,
    /// By slot, the place in the ranking's field of the upstream that has it.
    holders: Vec<u16>,
}

impl Table {
    fn new(field: Field, blocks: usize, slack: Option<u32>, last: Option<&Arc<Self>>) -> Arc<Self> {
        let ranking = match last.filter(|last| last.holders.len() == blocks * BLOCK) {
            Some(last) if last.ranking.field == field => return Arc::clone(last),
            Some(last) => last.ranking.updated(field),
            None => Ranking::new(field, blocks),
        };
        let holders = assign::assign(&ranking, slack);
        Arc::new(Self { ranking, holders })
    }
}

/// By the key's hash, with few keys moved by a change of membership, and the same on every proxy. A table load a pick.
///
/// The key is the session's; where it has none, the client's address; where that is unknown, the nonce. The table
/// depends on the names and weights of the upstreams, and not on their order.
///
/// By default it is *balanced*: no upstream has more than 2 % above its share of the slots (or the share rounded up),
/// for which a few more keys move at a change than must. *Strict*, those that move are those that must, and shares
/// vary as chance has it, by about a sixteenth. See [`strict`](Self::strict) and [`epsilon`](Self::epsilon).
///
/// An upstream that accepts no session changes no table. Each of its slots has a next in line, up to four, and a key
/// all of whose slot's ranks do not accept goes along its own rendezvous order, at the cost of a hash for each upstream.
///
/// The table has a power of two of at least 256 slots for each upstream, 4096 to 1,048,576, at ten bytes each. Building
/// it takes about 40 ns a slot, and updating it for few upstreams about 15. When more upstreams double the table, half
/// of all keys are placed anew: give [`slots`](Self::slots) for the most upstreams that there will be, if clusters
/// grow past a power of two of upstreams.
#[derive(Debug)]
pub struct Rendezvous {
    config: Config,
    table: Arc<Table>,
    /// The index in the cluster of each place in the ranking's field.
    members: Box<[u16]>,
    /// The index in the cluster of each slot's holder.
    holders: Box<[u16]>,
    bound: Option<Bound>,
}

impl Rendezvous {
    /// For `cluster`, balanced to within 2 %, without a bound on loads.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self::with(Config::DEFAULT, cluster, None)
    }

    fn with(config: Config, cluster: &Cluster, last: Option<&Arc<Table>>) -> Self {
        let (field, members) = Field::new(cluster);
        let table = Table::new(field, config.blocks(cluster.len()), config.slack, last);
        let holders = table.holders.iter().map(|place| members[usize::from(*place)]).collect();
        let bound = (config.load_factor > 0.0).then(|| Bound::new(config.load_factor));
        Self { config, table, members, holders, bound }
    }

    /// The first that `takes` says yes to: the slot's holder, its ranks, then along the key's own order.
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

/// What is hashed of a session: its key, or its client's address, or its nonce.
fn point(session: &Session<'_>) -> u64 {
    match (session.key, session.client.map(|client| client.to_canonical())) {
        (Some(key), _) => hash_bytes(key),
        (None, Some(IpAddr::V4(address))) => hash_bytes(&address.octets()),
        (None, Some(IpAddr::V6(address))) => hash_bytes(&address.octets()),
        (None, None) => mix64(session.nonce),
    }
}

impl Policy for Rendezvous {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let point = point(session);
        if let Some(bound) = &self.bound {
            let share = bound.share(cluster);
            let takes = |index| cluster.accepts(index, session) && within(cluster, index, share);
            if let Some(index) = self.walk(cluster, point, takes) {
                return Some(index);
            }
            // Those that accept are all above their share: the others have not what they might.
        }
        self.walk(cluster, point, |index| cluster.accepts(index, session))
    }

    fn rebuilt(&self, cluster: &Cluster) -> Option<Box<dyn Policy>> {
        Some(Box::new(Self::with(self.config, cluster, Some(&self.table))))
    }
}
