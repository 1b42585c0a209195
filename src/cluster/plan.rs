//! Membership changes: planned first, then applied whole or not at all.

use super::{Cluster, ClusterError, Member, UpstreamConfig};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

/// The number of a snapshot. Each applied change makes the next.
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

/// One wish for the next cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Adds an upstream, or changes the one of this name. A new address is a new process: its counts start anew.
    Put(UpstreamConfig),
    /// Removes the upstream of this name. Requests in flight on it finish; sessions pinned to it move.
    Remove(String),
}

/// What a plan changes for one upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It is added; no session moves to it, new ones are placed on it.
    Added(String),
    /// It is removed. Its sessions are placed anew at their next request; requests in flight finish.
    Removed {
        /// Its name.
        name: String,
        /// Requests and tunnels in flight on it when the plan was made.
        in_flight: u32,
    },
    /// Its weight, limit or address changes; sessions pinned to it stay.
    Changed(String),
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

/// A checked change that has not happened yet. See [`Balancer::plan`](crate::Balancer::plan).
#[derive(Debug)]
#[must_use = "a plan changes nothing until it is applied"]
pub struct Plan {
    pub(crate) base: Generation,
    pub(crate) cluster: Cluster,
    pub(crate) effects: Vec<Effect>,
}

impl Plan {
    /// The generation it was made against; it applies to that one alone.
    #[must_use]
    pub fn base(&self) -> Generation {
        self.base
    }

    /// The cluster as it would be.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The changes, one entry for each upstream concerned.
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }
}

/// Why a plan could not be made. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// A removal of an upstream that does not exist.
    #[error("there is no upstream {name:?} to remove: check its name against the cluster's")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The result would be no cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// Why a plan could not be applied. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another change came between.
    #[error("the plan was made against generation {}, the cluster is at {}: plan again", .planned.0, .current.0)]
    Stale {
        /// What the plan was made against.
        planned: Generation,
        /// What is in force.
        current: Generation,
    },
}

/// The configurations after `changes`, in order: changed ones keep their place, new ones come last.
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
