//! What must always hold, and how it is said that it did not.

use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invariant {
    /// 1: An idempotent request of which no byte was delivered is answered, unless nobody could.
    Answered,
    /// 2: A POST runs at most once.
    RunsOnce,
    /// 3: A session moves only when its upstream is gone, then once, and does not come back.
    PinHolds,
    /// 3: An upstream is taken for gone only on proof, and for bad only on evidence.
    Evidence,
    /// 4: What drains, is full or suspect takes no new session.
    TakesNoNew,
    /// 5: A body that was cut is not ended as if it were whole.
    CutIsCut,
    /// 6: Proxies that hold the same live set agree on the failover target.
    Agreement,
    /// What was removed is not picked.
    Membership,
    /// No more are judged out than the cap allows; panic is entered and left once.
    Cap,
    /// Requests in flight are counted right at each step, and none is left at the end.
    Leases,
    /// The decisions that upstreams count are those that were made.
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
