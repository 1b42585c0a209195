//! Upstream health: what is known of each upstream, the availability that follows, and an event for each change.
//!
//! Nothing here probes, sleeps or reads a clock. A host reports outcomes of requests ([`Outcome`]) and probes
//! ([`ProbeResult`]) and lets time pass ([`Balancer::tick`](crate::Balancer::tick)). The result is the
//! [`Availability`](crate::Availability) in the upstream's cell, which picks read, and [`Event`]s for people.
//!
//! # Proof and judgement
//!
//! A session in an instance's memory is lost when it moves, so pins are broken only on *proof* that the upstream
//! cannot serve them: a refused connection, connections or probes that time out in a row, or a response deadline
//! within which the upstream sent no response at all. What only looks bad (errors, broken exchanges, silence) is a
//! *judgement*: outlier ejection stops new sessions, and those that are there stay. Judgements can be wrong about all
//! upstreams at once, when something they share fails, so at most a part of the cluster is ejected; beyond that,
//! judgements are ignored (Envoy's panic mode).
//!
//! Health is judged only while a host calls [`Balancer::tick`](crate::Balancer::tick): an adapter that never does
//! reports no outcomes either, or an upstream that is ejected would never return.
//!
//! Files, in reading order: `state.rs` (states and their causes), `outcome.rs` (inputs), `settings.rs`, `machine.rs`
//! (the state machine of one upstream), `silence.rs` (how long it has not responded), `monitor.rs` (all machines
//! together, and panic mode), `event.rs`.
//!
//! | state | serves | accepts | comes by |
//! |---|---|---|---|
//! | [`Active`](State::Active) | yes | yes | |
//! | [`SlowStart`](State::SlowStart) | yes | a growing share | a return, or being added |
//! | [`Full`](State::Full) | yes | no | its own report |
//! | [`Suspect`](State::Suspect) | yes | no | judgement |
//! | [`Draining`](State::Draining) | until its sessions have left | no | the operator |
//! | [`Down`](State::Down) | no | no | proof |

mod event;
mod machine;
mod monitor;
mod outcome;
mod settings;
mod silence;
mod state;

#[cfg(test)]
mod tests;

pub use event::Subscribers;
pub use event::{Event, EventKind, Subscription};
pub(crate) use monitor::Monitor;
pub use monitor::UpstreamStatus;
pub use outcome::{Outcome, ProbeResult};
pub use settings::{Failover, HealthSettings, HealthSettingsError, Outlier, Probes, Silence, SlowStart};
pub use state::{Cause, State};
