//! The reason of every decision, as a value that can be counted.

use std::fmt;

/// Why a request went where it went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Decision {
    /// A valid token named an upstream that serves: the session stays pinned to it.
    Pinned,
    /// No token: a first visit, or a client that keeps no cookies. Placed by the policy.
    New,
    /// A token came, but the pin could not be honoured: the session moved, or began anew.
    PinLost(PinLoss),
}

/// Why a pin could not be honoured.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PinLoss {
    /// The cluster has no upstream of that id any more.
    NoSuchUpstream,
    /// The upstream does not serve now, or has just failed this request.
    NotServing,
    /// The upstream is at its limit of requests in flight.
    Full,
    /// The upstream is another process than the one that held the session.
    OtherIncarnation,
    /// The session is older than the absolute age allows, or its token is from the future.
    Expired,
    /// The session made no request for longer than the idle age allows.
    Idle,
    /// The tag does not match: the token was altered, forged, or issued by another pool.
    BadTag,
    /// Signed with a key that the ring does not have.
    UnknownKey,
    /// Not a token by its length or alphabet.
    Malformed,
    /// A token of another version of the format.
    OtherVersion,
    /// The upstream is being drained, and the session's [drain deadline](super::Upstream::drain_deadline) has passed.
    Drained,
    /// The upstream held more than its share of sessions, and this one was moved to one that had room.
    Rebalanced,
}

/// Names in the order of their numbers.
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
    /// How many different decisions there are.
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

    /// All of them, by their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(decision, _)| *decision)
    }
}

impl PinLoss {
    /// Whether the token is valid and only its upstream cannot take the session. A displaced session is placed along
    /// its own rendezvous order, so that every proxy, and every concurrent request of one page, moves it to the same
    /// upstream.
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
