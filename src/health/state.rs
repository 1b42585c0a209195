//! The states of an upstream, and the causes of changes between them.

use crate::cluster::Availability;
use std::fmt;
use std::time::Duration;

/// The state of an upstream. See the [module](super) for its effect on sessions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum State {
    /// Serves and accepts.
    Active,
    /// Serves, and accepts a growing share of new sessions: [slow start](super::SlowStart).
    SlowStart,
    /// Serves, and reports by its probes that it accepts no new sessions.
    Full,
    /// Ejected by judgement: serves its sessions and accepts no new ones until the ejection ends.
    Suspect,
    /// Drained by an operator: accepts no new sessions, and lets its sessions leave after the drain's deadline.
    Draining,
    /// Serves and accepts nothing: proven not to respond, or its probes get a bad status.
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

    /// The availability bits of this state. A panic or the end of a drain may set others: see
    /// [`UpstreamStatus::availability`](super::UpstreamStatus::availability).
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
#[non_exhaustive]
pub enum Cause {
    /// It was configured when the balancer was built.
    Configured,
    /// It was added to a running cluster.
    Added,
    /// The connection of a request was refused.
    ConnectRefused,
    /// Connections of requests timed out, this many in a row.
    ConnectTimedOut(u32),
    /// A request waited for this long, and the upstream sent no response to any request in that time.
    Unanswered(Duration),
    /// Requests failed, this many in a row.
    Failures(u32),
    /// This percentage of requests failed, 0 to 100.
    FailureRate(u8),
    /// Requests are in flight, and the upstream sent no response for this long.
    Silent(Duration),
    /// The connection of a probe was refused.
    ProbeRefused,
    /// Probes got no response, this many in a row.
    ProbeTimedOut(u32),
    /// Probes get this status.
    ProbeStatus(u16),
    /// A probe's response says that it is full.
    ProbeFull,
    /// Probes pass.
    ProbesPass,
    /// It responds again.
    Answers,
    /// Its ejection, or the time it was held down without probes, is over.
    BackoffOver,
    /// Its slow start is over.
    SlowStartOver,
    /// An operator drained or resumed it.
    Operator,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("configured"),
            Self::Added => f.write_str("added to the cluster"),
            Self::ConnectRefused => f.write_str("a connection was refused"),
            Self::ConnectTimedOut(times) => write!(f, "connecting timed out {times} times in a row"),
            Self::Unanswered(time) => {
                write!(f, "no response to any request while one waited for {} s", time.as_secs_f64())
            }
            Self::Failures(times) => write!(f, "{times} failures in a row"),
            Self::FailureRate(percent) => write!(f, "{percent} % of requests failed"),
            Self::Silent(time) => write!(f, "no response for {} s", time.as_secs_f64()),
            Self::ProbeRefused => f.write_str("a probe was refused"),
            Self::ProbeTimedOut(times) => write!(f, "{times} probes in a row got no response"),
            Self::ProbeStatus(status) => write!(f, "probes get status {status}"),
            Self::ProbeFull => f.write_str("it reports that it is full"),
            Self::ProbesPass => f.write_str("probes pass"),
            Self::Answers => f.write_str("it responds again"),
            Self::BackoffOver => f.write_str("its ejection time is over"),
            Self::SlowStartOver => f.write_str("its slow start is over"),
            Self::Operator => f.write_str("requested by an operator"),
        }
    }
}
