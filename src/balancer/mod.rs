//! The balancer: decides for each request which upstream serves it, and why.
//!
//! A [`Balancer`] joins the parts below it. It verifies tokens ([`affinity`](crate::affinity)), finds the pinned
//! upstream or asks the [`policy`](crate::policy) for one, takes a lease in the [`cluster`](crate::cluster), and
//! publishes membership and settings. It opens no socket, reads no clock and starts no thread, and does not know its
//! adapters: what they need is public here ([`Picker`], [`View`], [`Balancer::tick`], [`Balancer::report`]).
//!
//! Files, in reading order:
//!
//! - `request.rs` and `pick.rs`: what goes in and what comes out. `balancer.rs`: [`Balancer`], one pick, one change.
//! - `snapshot.rs`: all that a pick reads, behind one pointer; `settings.rs`: the part of it that outlives a cluster.
//! - `pinned.rs`: the session has a good token or a legacy cookie; `place.rs`: it has none, or must move.
//!   `slow_start.rs` and `rebalance.rs` modify both.
//! - `builder.rs` with `build_error.rs`, `reconfigure.rs`: settings before and while it runs. `health.rs`: outcomes,
//!   probes, drains and time go in.
//! - `view.rs`: the steps of a pick one by one, for adapters; `picker.rs`: the same calls on a snapshot that a worker
//!   caches; `waiter.rs`: waiting for a free place. `explain.rs`, `forecast.rs`: the same decisions without effect, for
//!   operators.
//!
//! # Invariants
//!
//! - **One snapshot.** Cluster, policy, affinity and every other setting that a pick reads are behind one pointer, so a
//!   pick never sees two that disagree. Counters and progress (loads, GCRA state, slow start) are outside the snapshot
//!   and outlive it.
//! - **A pick takes no lock and allocates nothing** (`tests/allocations.rs` counts allocations). Writers serialize on a
//!   mutex that no pick takes. The exception: a pick that is about to rebalance a session looks for its guards behind a
//!   lock.
//! - **A lease holds its upstream, never a snapshot,** so a WebSocket of hours keeps no old cluster alive.
//! - **A pin moves only if its upstream cannot take the session, then once,** and to the same failover target on every
//!   proxy. A session that has to wait for its failover target takes no other upstream; a full upstream keeps its
//!   sessions. Rebalancing is the exception, and off by default.
//! - **Slow start refuses no request.** Where only upstreams in slow start accept, they take whatever comes. While no
//!   upstream is in slow start, a pick pays one relaxed load for it.
//! - **Rate limits need no lock:** admission of displaced sessions, turns in slow start and the budget of rebalancing
//!   are GCRA, one atomic word each (`cluster/gcra.rs`).
//!
//! # Design decisions
//!
//! - [`Request`] takes a list of tokens, because "the first valid one counts" is for the balancer to decide, and a list
//!   of upstreams that were tried, because only the balancer knows the failover target.
//! - A policy may build its successor from itself ([`Policy::rebuilt`](crate::Policy::rebuilt)). [`Balancer::apply`]
//!   asks it before it takes the writer's lock, on the snapshot that the plan was made against.

#[expect(clippy::module_inception, reason = "the type that the folder is named after")]
mod balancer;
mod build_error;
mod builder;
mod explain;
mod forecast;
mod health;
mod pick;
mod picker;
mod pinned;
mod place;
mod rebalance;
mod reconfigure;
mod request;
mod settings;
mod slow_start;
mod snapshot;
mod view;
mod waiter;

pub use balancer::Balancer;
pub use build_error::BuildError;
pub use builder::BalancerBuilder;
pub use explain::{Explanation, Step, TokenSet};
pub use forecast::{Capacity, Forecast};
pub use health::UnknownUpstream;
pub use pick::{Pick, PickError, Wait};
pub use picker::Picker;
pub use reconfigure::ReconfigureError;
pub use request::Request;
pub use snapshot::ClusterRef;
pub use view::{Opened, View};
pub use waiter::PlaceWaiter;
