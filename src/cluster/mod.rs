//! The set of upstreams: their counts and state, their load, and membership changes.
//!
//! A [`Cluster`] is immutable. State that changes while it lives (counts, availability, incarnation) is in the shared
//! [`Upstream`] cells, which survive membership changes. Configuration (weights, limits) is in the cluster, and a
//! change of it makes the next cluster.
//!
//! Nothing here chooses an upstream (that is [`policy`](crate::policy)), judges one ([`health`](crate::health)) or
//! reads a token ([`affinity`](crate::affinity)). Sessions and decisions are defined here, below both affinity and
//! policy, so that neither needs the other.
//!
//! # What a pick pays
//!
//! A pick takes no lock and allocates nothing; writers take a mutex that no pick takes. The exception is a pick that is
//! about to move a session by rebalancing: it looks whether the session is [guarded](Upstream::guard_session), behind a
//! lock of that upstream. A lease holds its upstream and no snapshot, so a WebSocket that lives for hours keeps no old
//! cluster alive. The subtraction that ends it also tells whether a request waits for the place; only then is a lock
//! taken, to wake that request.
//!
//! # Files
//!
//! - Values: `id`, `config` (an upstream as configured), `session` (what a policy sees of a request), `decision`.
//! - The set and its changes: `upstream` (the shared cell), `set` (the cluster), `plan` (membership changes), `order`
//!   (the rendezvous order of a session).
//! - Load: `lease`, `load` (the two counters), then the load index of `least_conn`: `bits` (a bitset), `load_index`
//!   (bitmaps and slots), `indexed_load` (moves an upstream on the bitmaps), `load_order` (a cluster's members on one
//!   bitmap). `waiters`: requests that wait for a place.
//! - Live sessions: `sessions` (linear counting), `sketch` (their exchange between proxies), `session_guard` and
//!   `guarded_sessions` (sessions that a tunnel keeps live).
//! - State that other modules write: `lifecycle` (drain, slow start, failover, rebalancing), `gcra` (the rate limiter
//!   of these), `outcome_counters`, `latency`.

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
mod waiters;

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
pub use waiters::WaitFor;
pub(crate) use waiters::{Waiters, WakeReason};
