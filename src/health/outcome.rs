//! What hosts report.

use std::time::Duration;

/// How a request fared on its upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was answered, with a status below 500. Report it when the head of the response has come.
    Answered,
    /// It was answered with a status of 500 or above.
    ServerError,
    /// The connection broke off, or what came was no HTTP.
    Broken,
    /// No response began within the host's deadline.
    TimedOut {
        /// How long the request waited.
        after: Duration,
    },
    /// Nobody listens there.
    ConnectRefused,
    /// The connection was not made in time.
    ConnectTimedOut,
}

/// How a probe fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeResult {
    /// It serves and takes new sessions.
    Passed,
    /// It serves those it has and wants no new ones.
    Full,
    /// It answered with a status that is neither.
    Status(u16),
    /// Nobody listens there.
    Refused,
    /// No answer in time, or the connection broke off before there was one.
    TimedOut,
}
