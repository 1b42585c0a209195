//! What a roster applied, for whoever wants to know.

use homing::cluster::{Effect, Generation};
use homing::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// By whose word an upstream is there: whoever says its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The configuration's.
    Configured,
    /// That of a discovery source.
    Discovered,
    /// Its own.
    Registered,
    /// An operator's.
    Operator,
}

impl Origin {
    /// In lower case, as the administration calls it.
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

/// What moved a roster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Initiator {
    /// Another configuration.
    Configuration,
    /// A discovery source.
    Discovery,
    /// The instance itself.
    Instance,
    /// A registration that was not refreshed, or has run out.
    Expiry,
    /// An operator, here.
    Operator,
    /// Orders that were kept, or given to another gateway.
    Overrides,
}

impl Initiator {
    /// In lower case, as the administration calls it.
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

/// Something was applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RosterEvent {
    /// When.
    pub at: Timestamp,
    /// By whose doing.
    pub by: Initiator,
    /// The generation that was in force afterwards.
    pub generation: Generation,
    /// What.
    pub kind: RosterChange,
}

/// What was applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RosterChange {
    /// Another cluster. Without an effect it is the order of the upstreams that changed.
    Applied(Vec<Effect>),
    /// An upstream takes no new sessions.
    Draining {
        /// Its name.
        name: String,
        /// After how long those it has begin to leave; `None`: they stay.
        within: Option<Duration>,
    },
    /// An upstream takes sessions again.
    Resumed {
        /// Its name.
        name: String,
    },
}

impl RosterChange {
    /// The upstream that it is about, where it is one.
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
