//! The states of an upstream, and the causes of their changes.

use crate::cluster::Availability;
use std::fmt;
use std::time::Duration;

/// The health state of an upstream. See the [module](super) for what each means to sessions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Serves and accepts.
    Active,
    /// Serves, and accepts a growing share of new sessions.
    SlowStart,
    /// Reports itself that it accepts no new sessions.
    Full,
    /// Judged unhealthy: accepts no new sessions until it looks better.
    Suspect,
    /// An operator drains it: it accepts no new sessions, and those it has leave by the deadline.
    Draining,
    /// Proven unable to serve.
    Down,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Active, Self::SlowStart, Self::Full, Self::Suspect, Self::Draining, Self::Down];

    /// Its name in logs and metrics, such as `active`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::SlowStart => "warming",
            Self::Full => "full",
            Self::Suspect => "suspect",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }

    /// The availability that follows from it.
    #[must_use]
    pub const fn availability(self) -> Availability {
        match self {
            Self::Active | Self::SlowStart => Availability::ACTIVE,
            Self::Full | Self::Suspect | Self::Draining => Availability::DRAINING,
            Self::Down => Availability::DOWN,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an upstream entered its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// It was configured from the beginning.
    Configured,
    /// It was added to a running cluster.
    Added,
    /// The connection of a request was refused.
    ConnectRefused,
    /// The connections of so many requests in a row timed out.
    ConnectTimedOut(u32),
    /// A request waited this long, and in that time there was no response at all.
    Unanswered(Duration),
    /// So many requests in a row failed.
    Failures(u32),
    /// So many percent of requests failed.
    FailureRate(u8),
    /// Requests arrived, and for this long there was no response.
    Silent(Duration),
    /// The connection of a probe was refused.
    ProbeRefused,
    /// So many probes in a row timed out.
    ProbeTimedOut(u32),
    /// Probes were answered with this status.
    ProbeStatus(u16),
    /// A probe's response said that it is full.
    ProbeFull,
    /// Probes pass.
    ProbesPass,
    /// It responds again.
    Answers,
    /// Its ejection time is over.
    BackoffOver,
    /// Its slow start is over.
    SlowStartOver,
    /// An operator said so.
    Operator,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("configured"),
            Self::Added => f.write_str("added to the cluster"),
            Self::ConnectRefused => f.write_str("a connection was refused"),
            Self::ConnectTimedOut(times) => write!(f, "connecting timed out {times} times in a row"),
            Self::Unanswered(time) => write!(f, "no response while a request waited {time:?}"),
            Self::Failures(times) => write!(f, "{times} failures in a row"),
            Self::FailureRate(percent) => write!(f, "{percent} % of requests failed"),
            Self::Silent(time) => write!(f, "no response for {time:?}"),
            Self::ProbeRefused => f.write_str("a probe was refused"),
            Self::ProbeTimedOut(times) => write!(f, "{times} probes were not answered"),
            Self::ProbeStatus(status) => write!(f, "probes are answered with status {status}"),
            Self::ProbeFull => f.write_str("it says that it is full"),
            Self::ProbesPass => f.write_str("probes pass"),
            Self::Answers => f.write_str("it responds again"),
            Self::BackoffOver => f.write_str("its ejection time is over"),
            Self::SlowStartOver => f.write_str("its slow start is over"),
            Self::Operator => f.write_str("an operator said so"),
        }
    }
}
