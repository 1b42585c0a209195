//! What the demo needs of the load balancer in front of its instances, and all that it knows of it.

use std::time::Duration;

/// Instances are named as in [`Reserved::instances`](super::Reserved::instances).
pub trait Operator: Send + Sync {
    /// Drains an instance: it gets no new sessions, and those it has leave after `deadline`.
    fn drain(&self, instance: &str, deadline: Duration);

    /// Ends a drain.
    fn resume(&self, instance: &str);

    /// Takes an instance's report, each second while it lives and does not hang.
    fn heartbeat(&self, instance: &str, figures: InstanceFigures);

    /// The balancer's view of an instance.
    fn status(&self, instance: &str) -> InstanceStatus;
}

/// An instance's own figures.
pub struct InstanceFigures {
    /// Sessions in its memory.
    pub sessions: usize,
    /// Bytes that they take.
    pub memory: usize,
    /// Threads of its own.
    pub threads: usize,
    /// Processor cores that those keep busy; `None` where the system does not report it.
    pub cpu: Option<f64>,
}

/// The balancer's view of an instance.
pub struct InstanceStatus {
    /// One of the states that the page knows: active, warming, full, suspect, draining or down.
    pub state: &'static str,
    /// Why, for people.
    pub cause: String,
    /// Whether it gets new sessions.
    pub accepts: bool,
    /// Whether it is drained and has neither sessions nor requests left.
    pub is_drained: bool,
}
