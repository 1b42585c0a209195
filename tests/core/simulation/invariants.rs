//! The invariants, and how a violation is reported.

use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invariant {
    /// 1: An idempotent request of whose response no byte was delivered gets a response, if any upstream can give one.
    Answered,
    /// 2: A POST runs at most once.
    RunsOnce,
    /// 3: A session moves only when its upstream is gone, then once, and does not move back.
    PinHolds,
    /// 3: An upstream is down only on proof, and suspect only on evidence.
    Evidence,
    /// 4: An upstream that drains, is full or suspect takes no new session.
    TakesNoNew,
    /// 5: A truncated body is not ended as if it were complete.
    CutIsCut,
    /// 6: Proxies with the same set of available upstreams agree on the failover target.
    Agreement,
    /// A removed upstream is not picked.
    Membership,
    /// Ejections by judgement stay within the cap; events of panic alternate.
    Cap,
    /// Requests in flight are counted exactly at each step, and none is left at the end.
    Leases,
    /// The upstreams' counters of decisions equal the decisions made.
    Counters,
}

pub struct Violation {
    pub invariant: Invariant,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.detail)
    }
}

pub type Check<T = ()> = Result<T, Violation>;

/// `ensure!(condition, Invariant, "what went wrong")`.
macro_rules! ensure {
    ($holds:expr, $invariant:ident, $($detail:tt)+) => {{
        let holds: bool = $holds;
        if !holds {
            let invariant = $crate::simulation::invariants::Invariant::$invariant;
            return Err($crate::simulation::invariants::Violation { invariant, detail: format!($($detail)+) });
        }
    }};
}
pub(crate) use ensure;
