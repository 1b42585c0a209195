//! What a roster saves.

use super::overrides::Overrides;
use super::registration::Registrations;
use serde::{Deserialize, Serialize};

/// Everything that a roster keeps from one run of the process to the next.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RosterState {
    /// The overrides of operators.
    #[serde(rename = "orders")]
    pub overrides: Overrides,
    /// The instances that registered themselves.
    pub registered: Registrations,
}
