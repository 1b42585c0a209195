//! Health of upstreams: a state machine for each, fed by the outcomes of requests and by probes, and an event for each
//! change of state.
//!
//! Nothing here probes, sleeps or reads a clock. A host reports outcomes ([`Outcome`], [`ProbeResult`]) and passes the
//! time in ([`Balancer::tick`](crate::Balancer::tick)). The results are the two availability bits
//! ([`Availability`](crate::Availability)) in the upstream's cell, which picks read, and [`Event`]s for operators.
//! Without ticks no ejection ends and no slow start finishes, so a host that never ticks should report nothing either.
//!
//! # Proof and judgement
//!
//! A session in an instance's memory is lost when it is moved, so a pin is broken only on *proof* that the upstream
//! cannot serve: a refused connection, connections or probes that time out in a row, or a response deadline during
//! which the upstream sent no response at all. Errors, broken exchanges and silence are a *judgement*: the upstream
//! takes no new sessions and keeps those it has. One judgement takes the upstream down all the same: a bad status of
//! probes in a row.
//!
//! A judgement can be wrong about all upstreams at once, when something that they share fails. So when more than a part
//! of the cluster ([`Outlier::max_ejected`]) is out, be it by judgement or by proof, judgements are ignored until fewer
//! upstreams are out (Envoy's "panic mode"). Proof, drains and an instance's own report of being full hold in a panic
//! too.
//!
//! | state | serves | accepts | cause |
//! |---|---|---|---|
//! | [`Active`](State::Active) | yes | yes | |
//! | [`SlowStart`](State::SlowStart) | yes | a growing share | a return, or its addition to a running cluster |
//! | [`Full`](State::Full) | yes | no | its own report, by a probe |
//! | [`Suspect`](State::Suspect) | yes | no | judgement |
//! | [`Draining`](State::Draining) | until its sessions have left | no | the operator |
//! | [`Down`](State::Down) | no | no | proof, or a bad status of probes |
//!
//! # Files
//!
//! `settings` (thresholds and time constants), `outcome` (inputs), `state` (states and causes), `machine` (the state
//! machine of one upstream), `silence` (the time since its last response), `monitor` (all machines, the cap on
//! judgements, publication), `event` (events and their subscriptions).

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
