//! Inputs of the state machine: outcomes of requests and results of probes.

use std::time::Duration;

/// The outcome of one request on its upstream. See [`Balancer::report`](crate::Balancer::report).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// A response with a status below 500. Report it when the head of the response has arrived.
    Answered,
    /// A response with a status of 500 or above.
    ServerError,
    /// The connection broke off, or the response was not valid HTTP.
    Broken,
    /// No response began within the host's deadline.
    TimedOut {
        /// How long the request waited.
        after: Duration,
    },
    /// The connection was refused: no process listens at the address.
    ConnectRefused,
    /// The connection was not established within the host's deadline.
    ConnectTimedOut,
}

/// The result of one probe. See [`Balancer::probe`](crate::Balancer::probe).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProbeResult {
    /// The upstream serves and accepts new sessions.
    Passed,
    /// The upstream serves its sessions and reports that it accepts no new ones.
    Full,
    /// A response whose status means neither of these.
    Status(u16),
    /// The connection was refused: no process listens at the address.
    Refused,
    /// No response in time, or the connection broke off before one.
    TimedOut,
}
