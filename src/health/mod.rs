//! *Whether* an upstream can be picked: what is known of it, the verdict drawn from that, and an event for each change.
//!
//! Nothing here probes, sleeps or reads a clock. A host reports what it saw ([`Outcome`], [`ProbeResult`]) and lets time
//! pass ([`Balancer::tick`](crate::Balancer::tick)); out come the two verdicts ([`Availability`](crate::Availability)) in the
//! upstream's cell, which picks read, and [`Event`]s for people.
//!
//! # Proof and judgement
//!
//! A session in an instance's memory is lost when it is moved, so pins are broken only on *proof* that nobody would
//! answer: a refused connection, connections or probes that time out in a row, or a response deadline within which the
//! upstream answered nobody at all. What only looks bad (errors, broken exchanges, silence) is a *judgement*. It stops
//! new sessions; those it has stay. Judgements can be wrong about all at once, when what they share fails, so at most a
//! part of the cluster is judged out; beyond that they are ignored ("panic", as Envoy calls it).
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
