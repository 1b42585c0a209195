//! The upstreams: their configuration, load, availability and live sessions, and how the set of them changes.
//!
//! A [`Cluster`] is immutable. What changes while it lives (counts, availability, incarnation) is in the shared
//! [`Upstream`] cells, which survive membership changes; what changes with the configuration (weights, limits) makes
//! the next cluster. Nothing here decides where a session goes, reads a token or judges health: that is for
//! [`policy`](crate::policy), [`affinity`](crate::affinity) and [`health`](crate::health) above. Decisions and sessions
//! are defined here, below both affinity and policy, so that neither needs the other.
//!
//! Files, in reading order:
//!
//! - `config.rs`, `set.rs` ([`Cluster`], [`Member`]), `plan.rs`: what is configured, and how it changes. `id.rs`:
//!   upstream ids.
//! - `upstream.rs`: the shared cell of an upstream, made of `indexed_load.rs` (in flight and availability),
//!   `lifecycle.rs` (draining, slow start, failover), `outcome_counters.rs`, `latency.rs`, `sessions.rs` (live
//!   sessions) with `sketch.rs` (for other proxies), and `guarded_sessions.rs` (sessions with a tunnel).
//! - `load.rs`, `lease.rs`, `session_guard.rs`: a request in flight; a session that is kept live.
//! - `load_index.rs`, `load_order.rs`, `bits.rs`: upstreams in the order of their load, for `least_conn`.
//! - `session.rs`, `decision.rs`, `order.rs`: what is placed, why it went where it went, and its rendezvous order.
//! - `gcra.rs`: the rate limiter.
//!
//! # Invariants
//!
//! - **A lease holds its upstream, never a snapshot.**
//! - **A limit is exact.** Never more leases than `max_in_flight`, and never "full" while there is room: loom checks
//!   every interleaving of `load.rs`.
//! - **No upstream is missing from the load index.** The last thread to move one leaves it where it belongs:
//!   `indexed_load.rs` has the argument, and loom checks it with leases, changes of availability, readers, and policies
//!   that come and go.
//! - **The usual decision (pinned with affinity, new without) has no counter:** it is the total less all others, so the
//!   most frequent decision costs nothing.

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
