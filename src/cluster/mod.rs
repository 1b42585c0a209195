//! *Who* can be picked: upstreams, what is in flight on each, and how the set changes.
//!
//! A [`Cluster`] is immutable. What changes while it lives (counts, health, incarnation) sits in the shared
//! [`Upstream`] cells, which survive membership changes; what changes with the configuration (weights, limits)
//! makes the next cluster.

mod bits;
mod config;
mod decision;
mod gcra;
mod guarded_sessions;
mod id;
mod indexed_load;
mod latency;
mod lease;
mod lifecycle;
mod load;
mod load_index;
mod load_order;
mod order;
mod outcome_counters;
mod plan;
mod session;
mod session_guard;
mod sessions;
mod set;
mod sketch;
mod upstream;

pub use config::{ClusterError, MAX_UPSTREAMS, UpstreamConfig};
pub use decision::{Decision, PinLoss};
pub(crate) use gcra::{Gcra, Quota};
pub(crate) use id::IdMap;
pub use id::UpstreamId;
pub use indexed_load::Availability;
pub use lease::Lease;
pub(crate) use lifecycle::SlowStartShare;
pub(crate) use load_index::IndexSlot;
pub(crate) use load_order::LoadOrder;
pub use plan::{ApplyError, Change, Effect, Generation, Plan, PlanError};
pub(crate) use plan::{effects, next_configs};
pub use session::{Session, SlowStartAccess};
pub use session_guard::SessionGuard;
pub use set::{Cluster, Member};
pub use sketch::{Sketch, SketchError};
pub use upstream::Upstream;
