//! The events of a roster.

use homing::cluster::{Effect, Generation};
use homing::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// Where the address of an upstream comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The configuration.
    Configured,
    /// A discovery source.
    Discovered,
    /// Its own registration.
    Registered,
    /// An override.
    Operator,
}

impl Origin {
    /// In lower case, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Discovered => "discovered",
            Self::Registered => "registered",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What initiated a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Initiator {
    /// A reload.
    Configuration,
    /// A discovery source.
    Discovery,
    /// The instance itself, by registering, reporting or deregistering.
    Instance,
    /// A registration without heartbeats for its TTL, or whose drain has ended.
    Expiry,
    /// An operator, at this gateway.
    Operator,
    /// Overrides restored from a store, or made at another gateway.
    Overrides,
}

impl Initiator {
    /// In lower case, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Discovery => "discovery",
            Self::Instance => "instance",
            Self::Expiry => "expiry",
            Self::Operator => "operator",
            Self::Overrides => "orders",
        }
    }
}

impl fmt::Display for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change that was applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RosterEvent {
    /// When it was applied.
    pub at: Timestamp,
    /// What initiated it.
    pub by: Initiator,
    /// The generation in force afterwards.
    pub generation: Generation,
    /// What has changed.
    pub kind: RosterChange,
}

/// What has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RosterChange {
    /// The cluster. Without effects only the order of the upstreams has changed.
    Applied(Vec<Effect>),
    /// A drain of an upstream began, or its deadline changed.
    Draining {
        /// Its name.
        name: String,
        /// After how long its sessions begin to leave; `None`: they stay.
        within: Option<Duration>,
    },
    /// A drain ended.
    Resumed {
        /// Its name.
        name: String,
    },
}

impl RosterChange {
    /// The one upstream that it concerns, where it is one.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        match self {
            Self::Applied(_) => None,
            Self::Draining { name, .. } | Self::Resumed { name } => Some(name),
        }
    }
}

impl fmt::Display for RosterChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied(effects) if effects.is_empty() => f.write_str("the order of the upstreams has changed"),
            Self::Applied(effects) => effects.iter().enumerate().try_for_each(|(index, effect)| {
                f.write_str(if index == 0 { "" } else { "; " })?;
                effect.fmt(f)
            }),
            Self::Draining { name, within: Some(within) } => {
                write!(f, "{name}: drain within {} s", within.as_secs_f64())
            }
            Self::Draining { name, within: None } => write!(f, "{name}: drain without a deadline"),
            Self::Resumed { name } => write!(f, "{name}: resume"),
        }
    }
}
