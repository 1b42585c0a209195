//! *Which upstreams should be in the cluster*, and where each of them comes from.
//!
//! A balancer has one list of upstreams; a [`Roster`] remembers which source contributed what, so that a reload does
//! not undo an override, and an instance that registered itself disappears by itself. Once there is a roster, every
//! change of the balancer's membership and every drain should go through it.
//!
//! Three layers, later ones win, name by name:
//!
//! 1. the *base*: the upstreams of the configuration, or those of a discovery source;
//! 2. *registrations*: instances that register themselves and send heartbeats;
//! 3. *overrides*: changes by operators. Fields that an override leaves open come from the layers below: a changed
//!    weight does not hold on to an address that moves.
//!
//! An override that changes nothing is dropped, and so is one that concerns a name no other layer has.
//!
//! ```
//! use homing_gateway::roster::{InstanceReport, Origin, Roster};
//! use homing::{Balancer, Change, Timestamp, UpstreamConfig};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! let now = Timestamp::from_secs(1_700_000_000);
//! let balancer = Balancer::builder().upstream(UpstreamConfig::new("app-1", "10.0.0.1:8080")).build()?;
//! let roster = Roster::new(Arc::new(balancer));
//!
//! // An operator changes a weight; then the configuration gives the upstream another address.
//! roster.change(&[Change::Put(UpstreamConfig::new("app-1", "10.0.0.1:8080").weight(3))], None, now)?;
//! roster.set_base(vec![UpstreamConfig::new("app-1", "10.0.0.9:8080")], now)?;
//! let cluster = roster.balancer().cluster();
//! assert_eq!(cluster.members()[0].upstream().address(), "10.0.0.9:8080");
//! assert_eq!(cluster.members()[0].weight(), 3);
//!
//! // An instance registers itself and reports.
//! roster.register(UpstreamConfig::new("app-2", "10.0.0.2:8080"), Duration::from_secs(15), now)?;
//! roster.heartbeat("app-2", InstanceReport { sessions: Some(12), ..InstanceReport::default() }, now)?;
//! assert_eq!(roster.upstream("app-2").map(|upstream| upstream.origin), Some(Origin::Registered));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A change, step by step
//!
//! 1. The next layers are worked out as plain data, and from them alone the list of upstreams, in an order that depends
//!    on nothing else. [`Balancer::plan_to`](homing::Balancer::plan_to) says whether that list is a cluster.
//! 2. Overrides and registrations that differ are saved in the [`RosterStore`]. Where that fails nothing has changed.
//! 3. The plan is applied, drains begin or end, and subscribers get an event with what initiated it.
//!
//! # What always holds
//!
//! - **What is acknowledged is durable:** a change is saved before it is applied.
//! - **The cluster is a function of the layers,** whatever the order in which they changed: a property test compares
//!   the roster with a naive model, restarts and failing stores included.
//! - **The last upstream is never removed** by silence, and silence never drains the last that accepts sessions.
//!
//! # What it does not do
//!
//! It reads no clock and does no I/O but for [`RosterTicker`] and [`state_file`]: the time is an argument, and a
//! [`RosterStore`] saves what outlives the process. No request waits for it.
//!
//! In reading order: `overrides`, `registration`, `report`, `state`; `membership` (the layers and the cluster they
//! make), `heartbeats`, `event`, `error`, `store`; `handle` ([`Roster`] and its reads), `apply` (from layers to the
//! balancer), `changes` (base and overrides), `instances` (registrations); `ticker` and [`state_file`].

mod apply;
mod changes;
mod error;
mod event;
mod handle;
mod heartbeats;
mod instances;
mod membership;
mod overrides;
mod registration;
mod report;
mod state;
pub mod state_file;
mod store;
mod ticker;

#[cfg(test)]
mod tests;

pub use error::{RosterError, StoreError};
pub use event::{Initiator, Origin, RosterChange, RosterEvent};
pub use handle::{Applied, RegistrationLifetime, Roster, RosterUpstream};
pub use overrides::{DrainOverride, Override, Overrides, UpstreamOverride};
pub use registration::{MAX_TTL, MIN_TTL, Registration, Registrations};
pub use report::InstanceReport;
pub use state::RosterState;
pub use store::RosterStore;
pub use ticker::RosterTicker;
