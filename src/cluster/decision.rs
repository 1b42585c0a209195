//! Decisions: why a request went to its upstream, as values for counters, metrics and logs.

use std::fmt;

/// Why a request went to its upstream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Decision {
    /// A valid token named an upstream that serves: the request went to its session's upstream.
    Pinned,
    /// No token: a first visit, or a client that keeps no cookies. Placed by the policy.
    New,
    /// A token came, but its pin could not be honoured: the session was placed on another upstream, or began anew.
    PinLost(PinLoss),
}

/// Why a pin could not be honoured.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PinLoss {
    /// The cluster has no upstream of the token's id.
    NoSuchUpstream,
    /// The upstream does not serve, or has already failed this request.
    NotServing,
    /// The upstream is at its limit of requests in flight.
    Full,
    /// The upstream's process is not the one that held the session: its memory is gone.
    OtherIncarnation,
    /// The session is older than its absolute age allows, or its token was issued in the future.
    Expired,
    /// The session made no request for longer than the idle age allows.
    Idle,
    /// The tag does not verify: the token was altered, forged, or signed for another pool.
    BadTag,
    /// The token is signed with a key that the ring does not have.
    UnknownKey,
    /// Its length or alphabet is not a token's.
    Malformed,
    /// A token of another version of the format.
    OtherVersion,
    /// The upstream drains, and the session's [drain deadline](super::Upstream::drain_deadline) has passed.
    Drained,
    /// The upstream held more than its share of sessions, and this one moved to an upstream below its share.
    Rebalanced,
}

/// Every decision and its name, in the order of [`Decision::index`].
const ALL: [(Decision, &str); Decision::COUNT] = [
    (Decision::Pinned, "pinned"),
    (Decision::New, "new"),
    (Decision::PinLost(PinLoss::NoSuchUpstream), "no_such_upstream"),
    (Decision::PinLost(PinLoss::NotServing), "not_serving"),
    (Decision::PinLost(PinLoss::Full), "full"),
    (Decision::PinLost(PinLoss::OtherIncarnation), "other_incarnation"),
    (Decision::PinLost(PinLoss::Expired), "expired"),
    (Decision::PinLost(PinLoss::Idle), "idle"),
    (Decision::PinLost(PinLoss::BadTag), "bad_tag"),
    (Decision::PinLost(PinLoss::UnknownKey), "unknown_key"),
    (Decision::PinLost(PinLoss::Malformed), "malformed"),
    (Decision::PinLost(PinLoss::OtherVersion), "other_version"),
    (Decision::PinLost(PinLoss::Drained), "drained"),
    (Decision::PinLost(PinLoss::Rebalanced), "rebalanced"),
];

impl Decision {
    /// The number of decisions.
    pub const COUNT: usize = 14;

    /// A number below [`COUNT`](Self::COUNT), for tables of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Pinned => 0,
            Self::New => 1,
            Self::PinLost(loss) => 2 + loss as usize,
        }
    }

    /// Its name in logs and metrics, such as `pinned` or `not_serving`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        ALL[self.index()].1
    }

    /// All decisions, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(decision, _)| *decision)
    }
}

impl PinLoss {
    /// Whether the token is valid and only its upstream cannot take the session. A displaced session is placed along
    /// its own rendezvous order, so that every proxy, and every one of several concurrent requests of a page, finds the
    /// same failover target.
    #[must_use]
    pub const fn is_displaced(self) -> bool {
        match self {
            Self::NoSuchUpstream | Self::NotServing | Self::Full | Self::OtherIncarnation => true,
            Self::Drained | Self::Rebalanced => true,
            Self::Expired | Self::Idle | Self::BadTag | Self::UnknownKey | Self::Malformed | Self::OtherVersion => {
                false
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for PinLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Decision::PinLost(*self).as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_one_to_one() {
        for (number, decision) in Decision::all().enumerate() {
            assert_eq!(decision.index(), number, "{decision}");
        }
        let names: std::collections::HashSet<&str> = Decision::all().map(Decision::as_str).collect();
        assert_eq!(names.len(), Decision::COUNT);
    }
}
