//! Membership changes: planned first, then applied as a whole or not at all.

use super::{Cluster, ClusterError, Member, UpstreamConfig};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

/// The number of a snapshot. Each applied change increments it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(pub(crate) u64);

impl Generation {
    /// The generation of this number.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The generation as a number, 1 for the first.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// One requested change of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Adds an upstream, or replaces the configuration of the one of this name. A new address is a new process: its
    /// counts start at zero.
    Put(UpstreamConfig),
    /// Removes the upstream of this name. Its requests in flight finish; the sessions pinned to it move.
    Remove(String),
}

/// The effect of a plan on one upstream. Its `Display` is a line for operators.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Effect {
    /// It is added: new sessions are placed on it, and no existing session moves to it.
    Added(String),
    /// It is removed: its requests in flight finish, and its sessions are placed anew at their next request.
    Removed {
        /// The upstream's name.
        name: String,
        /// Its requests and tunnels in flight when the plan was made.
        in_flight: u32,
    },
    /// Its weight, limit or address changes; sessions pinned to it stay.
    Changed(String),
}

impl Effect {
    /// The name of the upstream.
    #[must_use]
    pub fn upstream(&self) -> &str {
        match self {
            Self::Added(name) | Self::Changed(name) | Self::Removed { name, .. } => name,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(name) => write!(f, "{name}: added; takes new sessions"),
            Self::Removed { name, in_flight } => {
                write!(f, "{name}: removed; {in_flight} in flight finish, its sessions are placed anew")
            }
            Self::Changed(name) => write!(f, "{name}: changed; its sessions stay"),
        }
    }
}

/// A checked change that has not been applied. See [`Balancer::plan`](crate::Balancer::plan).
#[derive(Debug)]
#[must_use = "a plan changes nothing until it is applied"]
pub struct Plan {
    pub(crate) base: Generation,
    pub(crate) cluster: Cluster,
    pub(crate) effects: Vec<Effect>,
}

impl Plan {
    /// The generation against which it was made; it can be applied to that one only.
    #[must_use]
    pub fn base(&self) -> Generation {
        self.base
    }

    /// The cluster that applying it would make.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The effects, one for each upstream that is added, removed or changed.
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }
}

/// Why a plan could not be made. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A removal of an upstream that the cluster does not have.
    #[error("there is no upstream {name:?} to remove: check its name against the cluster's")]
    Unknown {
        /// The name.
        name: String,
    },
    /// No cluster can be built of the resulting upstreams.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// Why a plan could not be applied. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Another change was applied since the plan was made.
    #[error("the plan was made against generation {}, the cluster is at {}: plan again", .planned.0, .current.0)]
    Stale {
        /// The generation against which the plan was made.
        planned: Generation,
        /// The generation in force.
        current: Generation,
    },
}

/// The configurations after `changes`: changed upstreams keep their place in the order, new ones come last.
pub(crate) fn next_configs(cluster: &Cluster, changes: &[Change]) -> Result<Vec<UpstreamConfig>, PlanError> {
    let mut next: Vec<Option<UpstreamConfig>> = cluster.members().iter().map(|m| Some(m.config())).collect();
    let names = cluster.members().iter().map(|m| m.upstream().name());
    let mut places: HashMap<&str, usize> = names.zip(0..).collect();
    for change in changes {
        match change {
            Change::Put(config) => match places.entry(&config.name) {
                Entry::Occupied(place) => next[*place.get()] = Some(config.clone()),
                Entry::Vacant(place) => {
                    place.insert(next.len());
                    next.push(Some(config.clone()));
                }
            },
            Change::Remove(name) => {
                let place = places.remove(name.as_str()).ok_or_else(|| PlanError::Unknown { name: name.clone() })?;
                next[place] = None;
            }
        }
    }
    Ok(next.into_iter().flatten().collect())
}

/// The differences between two clusters, removals first.
pub(crate) fn effects(old: &Cluster, new: &Cluster) -> Vec<Effect> {
    let name = |m: &Member| m.upstream().name().to_owned();
    let gone = old.members().iter().filter(|m| new.find(m.upstream().id()).is_none());
    let mut effects: Vec<Effect> =
        gone.map(|m| Effect::Removed { name: name(m), in_flight: m.upstream().in_flight() }).collect();
    for member in new.members() {
        match old.find(member.upstream().id()) {
            None => effects.push(Effect::Added(name(member))),
            Some(before) if before.config() != member.config() => effects.push(Effect::Changed(name(member))),
            Some(_) => {}
        }
    }
    effects
}
