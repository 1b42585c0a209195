//! What the demo asks of whoever balances its instances. It is all that the demo knows of that.

use std::time::Duration;

/// Instances are named as in [`Reserved::instances`](super::Reserved::instances).
pub trait Operator: Send + Sync {
    /// Has an instance take no new sessions. Those it has may stay for `deadline`, and leave then.
    fn drain(&self, instance: &str, deadline: Duration);

    /// Ends a drain.
    fn resume(&self, instance: &str);

    /// Hears what an instance says of itself, each second while it lives and does not hang.
    fn heartbeat(&self, instance: &str, figures: Figures);

    /// What is thought of an instance.
    fn standing(&self, instance: &str) -> Standing;
}

/// What an instance says of itself.
pub struct Figures {
    /// Sessions in its memory.
    pub sessions: usize,
    /// Bytes that they take.
    pub memory: usize,
    /// Threads that are its own.
    pub threads: usize,
    /// Processor cores that those keep busy; `None` where the system does not say.
    pub cpu: Option<f64>,
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
