//! Inputs of health: outcomes of requests and results of probes.

use std::time::Duration;

/// The outcome of a request on its upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was answered with a status below 500. Report it when the head of the response has arrived.
    Answered,
    /// It was answered with a status of 500 or above.
    ServerError,
    /// The connection broke, or the response was not HTTP.
    Broken,
    /// No response began within the host's deadline.
    TimedOut {
        /// How long the request waited.
        after: Duration,
    },
    /// The connection was refused.
    ConnectRefused,
    /// The connection was not established in time.
    ConnectTimedOut,
}

/// The result of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeResult {
    /// The upstream serves and accepts new sessions.
    Passed,
    /// The upstream serves its sessions and accepts no new ones.
    Full,
    /// A response with a status that means neither.
    Status(u16),
    /// The connection was refused.
    Refused,
    /// No response in time, or the connection broke before one.
    TimedOut,
}
