//! The states of an upstream, and why it is in one.

use crate::cluster::Availability;
use std::fmt;
use std::time::Duration;

/// What is thought of an upstream. See the [module](super) for what each means to sessions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Serves and accepts.
    Active,
    /// Serves, and accepts a share that grows from little to all of its own: slow start.
    SlowStart,
    /// Says itself that it wants no new sessions.
    Full,
    /// Looks bad: takes no new sessions until it looks better.
    Suspect,
    /// Told by an operator to take no new sessions, and to let go of those it has.
    Draining,
    /// Proven not to answer.
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

    /// The verdicts that follow from it.
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

/// Why an upstream came into its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// It has been there from the beginning.
    Configured,
    /// It was added to a running cluster.
    Added,
    /// A request found nobody listening.
    ConnectRefused,
    /// Requests could not connect in time, this often in a row.
    ConnectTimedOut(u32),
    /// A request waited for so long, and in all that time nobody was answered.
    Unanswered(Duration),
    /// Requests failed, this often in a row.
    Failures(u32),
    /// So many of a hundred requests failed.
    FailureRate(u8),
    /// Requests have come, and for so long nobody was answered.
    Silent(Duration),
    /// A probe found nobody listening.
    ProbeRefused,
    /// Probes were not answered, this often in a row.
    ProbeTimedOut(u32),
    /// Probes were answered with this status.
    ProbeStatus(u16),
    /// A probe was told that it is full.
    ProbeFull,
    /// Probes pass.
    ProbesPass,
    /// It answers again.
    Answers,
    /// It was out for as long as it was to be, and is tried again.
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
            Self::Unanswered(time) => write!(f, "nobody was answered while a request waited for {time:?}"),
            Self::Failures(times) => write!(f, "{times} failures in a row"),
            Self::FailureRate(percent) => write!(f, "{percent} % of requests failed"),
            Self::Silent(time) => write!(f, "nobody was answered for {time:?}"),
            Self::ProbeRefused => f.write_str("a probe was refused"),
            Self::ProbeTimedOut(times) => write!(f, "{times} probes were not answered"),
            Self::ProbeStatus(status) => write!(f, "probes are answered {status}"),
            Self::ProbeFull => f.write_str("it says that it is full"),
            Self::ProbesPass => f.write_str("probes pass"),
            Self::Answers => f.write_str("it answers again"),
            Self::BackoffOver => f.write_str("it is tried again"),
            Self::SlowStartOver => f.write_str("its slow start is over"),
            Self::Operator => f.write_str("an operator said so"),
        }
    }
}
