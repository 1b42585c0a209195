//! What the demo asks of whoever balances its instances. It is all that the demo knows of that.

use std::time::Duration;

/// Instances are named as in [`Reserved::instances`](super::Reserved::instances).
pub trait Operator: Send + Sync {
    /// Has an instance take no new sessions. Those it has may stay for `deadline`, and leave then.
    fn drain(&self, instance: &str, deadline: Duration);

    /// Ends a drain.
    fn resume(&self, instance: &str);

    /// What is thought of an instance.
    fn standing(&self, instance: &str) -> Standing;
}

/// What is thought of an instance.
pub struct Standing {
    /// In a word that the page knows: active, warming, full, suspect, draining or down.
    pub state: &'static str,
    /// Why, for people.
    pub cause: String,
    /// Whether new sessions come to it.
    pub accepts: bool,
    /// Whether it is drained, and nothing is left on it.
    pub is_drained: bool,
}
