//! *Who* can be picked: upstreams, what is in flight on each, and how the set changes.
//!
//! A [`Cluster`] is immutable. What changes while it lives (counts, health, incarnation) sits in the shared
//! [`Upstream`] cells, which survive membership changes; what changes with the configuration (weights, limits)
//! makes the next cluster.

mod bits;
mod board;
mod config;
mod course;
mod decision;
mod holds;
mod latency;
mod lease;
mod load;
mod order;
mod pacer;
mod plan;
mod session;
mod sessions;
mod set;
mod sketch;
mod standing;
mod upstream;
mod vitals;

pub(crate) use board::{Seat, Seating};
pub use config::{ClusterError, MAX_UPSTREAMS, UpstreamConfig};
pub(crate) use course::Share;
pub use decision::{Decision, PinLoss};
pub use holds::Hold;
pub use lease::Lease;
pub(crate) use pacer::{Pace, Pacer};
pub use plan::{ApplyError, Change, Effect, Generation, Plan, PlanError};
pub(crate) use plan::{effects, next_configs};
pub use session::{Session, Warming};
pub(crate) use set::IdMap;
pub use set::{Cluster, Member};
pub use sketch::{Sketch, SketchError};
pub use standing::Health;
pub use upstream::{Upstream, UpstreamId};
