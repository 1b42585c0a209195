//! When a request is sent again, to which upstream, and how often.
//!
//! A *run* is an attempt of which the upstream may have seen a part: it may have executed the request. An idempotent
//! request without a body (RFC 9110, section 9.2.2) runs at most twice, anything else at most once, whatever mix of
//! stale kept-alive connections and broken fresh ones it meets. Attempts of which nothing was sent are no runs, and
//! are bounded by the number of upstreams alone.
//!
//! - No connection, or a fresh one that closes before a byte is sent: another upstream.
//! - A kept-alive connection that closes before a byte is sent: another connection to the same upstream, for free.
//!   This race (RFC 9112, section 9.3.1) says nothing about the upstream, and going elsewhere would lose the session.
//! - A kept-alive connection that breaks after something was sent and before a byte came back: a fresh connection to
//!   the same upstream, if the request may run again.
//! - A fresh connection that breaks so, or a kept-alive one that is reset (RST): another upstream, likewise. An upstream
//!   that ends an idle connection closes it (FIN); a reset comes from one that dies or discards the request.
//! - A byte of a response came: no further attempt.
//!
//! The last run is never spent on a kept-alive connection, which might be stale. The plan is pure; the caller asks the
//! [`RetryBudget`](super::retry_budget::RetryBudget) where a step [spends](Step::spends_budget) from it.

/// The most upstreams that one request is offered to.
const MAX_UPSTREAMS: u8 = 8;

/// The most runs of an idempotent request.
const MAX_RUNS: u8 = 2;

/// What the connection of an attempt had been before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// It had served another exchange.
    KeptAlive,
    /// It was made for this attempt.
    Fresh,
}

/// How an attempt ended without a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection closed before a byte of the request was sent.
    Unsent(Origin),
    /// It broke after a byte was sent and before a byte of a response came.
    Broken(Origin),
    /// It was reset after a byte was sent and before a byte of a response came.
    Reset,
    /// It broke after a byte of a response came.
    Answered,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Another connection to the same upstream, kept-alive or fresh.
    Reconnect,
    /// Send it again to the same upstream, on a fresh connection.
    Resend,
    /// Offer it to another upstream.
    Another,
    /// Reply with the failure.
    Stop,
}

impl Step {
    /// Whether the step counts as a retry, which the budget has to allow.
    pub(super) fn spends_budget(self) -> bool {
        matches!(self, Self::Resend | Self::Another)
    }
}

/// The attempts that one request has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RetryPlan {
    runs_left: u8,
    upstreams_left: u8,
    /// It has run, so it must not run on a connection that may be stale.
    has_run: bool,
}

impl RetryPlan {
    /// `is_repeatable`: the request is idempotent and has no body.
    pub(super) fn new(is_repeatable: bool) -> Self {
        Self { runs_left: if is_repeatable { MAX_RUNS } else { 1 }, upstreams_left: MAX_UPSTREAMS, has_run: false }
    }

    /// Whether the next attempt needs a connection of its own rather than a kept-alive one.
    pub(super) fn needs_fresh_connection(&self) -> bool {
        self.has_run
    }

    /// Whether a request that runs now could run again.
    pub(super) fn may_run_again(&self) -> bool {
        self.runs_left > 1
    }

    /// The step after an attempt that failed.
    pub(super) fn after(&mut self, failure: Failure) -> Step {
        match failure {
            Failure::Answered => return Step::Stop,
            Failure::Broken(_) | Failure::Reset => {
                self.runs_left -= 1;
                self.has_run = true;
            }
            Failure::Connect | Failure::Unsent(_) => {}
        }
        if self.runs_left == 0 {
            return Step::Stop;
        }
        match failure {
            Failure::Unsent(Origin::KeptAlive) => Step::Reconnect,
            Failure::Broken(Origin::KeptAlive) => Step::Resend,
            _ => {
                self.upstreams_left -= 1;
                if self.upstreams_left == 0 { Step::Stop } else { Step::Another }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Failure::{Answered, Broken, Connect, Reset, Unsent};
    use super::Origin::{Fresh, KeptAlive};
    use super::Step::{Another, Reconnect, Resend, Stop};
    use super::*;

    #[test]
    fn each_failure_has_its_step() {
        // (attempts that failed, the steps of a GET, the steps of a POST)
        let table: &[(&[Failure], &[Step], &[Step])] = &[
            // Nothing was sent: elsewhere, as often as there are upstreams to try.
            (
                &[Connect; 8],
                &[Another, Another, Another, Another, Another, Another, Another, Stop],
                &[Another, Another, Another, Another, Another, Another, Another, Stop],
            ),
            (&[Unsent(Fresh), Connect], &[Another, Another], &[Another, Another]),
            // The race with a keep-alive timeout: the same upstream, and for free.
            (&[Unsent(KeptAlive); 3], &[Reconnect; 3], &[Reconnect; 3]),
            (&[Unsent(KeptAlive), Unsent(Fresh)], &[Reconnect, Another], &[Reconnect, Another]),
            // Something was sent: a GET runs once more, a POST never.
            (&[Broken(KeptAlive)], &[Resend], &[Stop]),
            (&[Broken(Fresh)], &[Another], &[Stop]),
            (&[Reset], &[Another], &[Stop]),
            // Two runs, whatever the connections were.
            (&[Broken(KeptAlive), Broken(Fresh)], &[Resend, Stop], &[Stop]),
            (&[Broken(Fresh), Broken(Fresh)], &[Another, Stop], &[Stop]),
            (&[Reset, Reset], &[Another, Stop], &[Stop]),
            (&[Broken(KeptAlive), Unsent(Fresh), Reset], &[Resend, Another, Stop], &[Stop]),
            (&[Broken(KeptAlive), Connect, Broken(Fresh)], &[Resend, Another, Stop], &[Stop]),
            (&[Connect, Broken(KeptAlive), Broken(Fresh)], &[Another, Resend, Stop], &[Another, Stop]),
            (
                &[Unsent(KeptAlive), Broken(Fresh), Unsent(Fresh), Broken(Fresh)],
                &[Reconnect, Another, Another, Stop],
                &[Reconnect, Stop],
            ),
            // A byte of a response came.
            (&[Answered], &[Stop], &[Stop]),
            (&[Broken(KeptAlive), Answered], &[Resend, Stop], &[Stop]),
        ];
        for (failures, get, post) in table {
            for (is_repeatable, expected) in [(true, get), (false, post)] {
                let mut plan = RetryPlan::new(is_repeatable);
                let mut steps = Vec::new();
                for failure in *failures {
                    steps.push(plan.after(*failure));
                    if steps.ends_with(&[Stop]) {
                        break;
                    }
                }
                assert_eq!(&steps, expected, "{failures:?}, repeatable: {is_repeatable}");
            }
        }
        assert!(Resend.spends_budget() && Another.spends_budget());
        assert!(!Reconnect.spends_budget() && !Stop.spends_budget());
    }

    /// Tries every sequence of outcomes that connections allow, up to `depth` more. `runs` so far, `offers` to
    /// upstreams.
    fn walk(plan: RetryPlan, max_runs: u8, runs: u8, offers: u8, depth: u8, endings: &mut u32) {
        assert!(runs <= max_runs && offers <= MAX_UPSTREAMS, "{runs} runs, {offers} offers");
        if depth == 0 {
            return;
        }
        let origins = if plan.needs_fresh_connection() { vec![Fresh] } else { vec![KeptAlive, Fresh] };
        let mut failures = vec![Connect, Reset, Answered];
        failures.extend(origins.iter().flat_map(|origin| [Unsent(*origin), Broken(*origin)]));
        for failure in failures {
            let mut plan = plan;
            let step = plan.after(failure);
            let runs = runs + u8::from(matches!(failure, Broken(_) | Reset | Answered));
            assert!(runs <= max_runs, "one run too many: {failure:?}, {plan:?}");
            match step {
                Stop => *endings += 1,
                Another => walk(plan, max_runs, runs, offers + 1, depth - 1, endings),
                Reconnect | Resend => walk(plan, max_runs, runs, offers, depth - 1, endings),
            }
            assert!(step != Resend || plan.needs_fresh_connection(), "a run on a connection that may be stale");
        }
    }

    #[test]
    fn whatever_happens_an_idempotent_request_runs_twice_at_most_and_any_other_once() {
        for (is_repeatable, max_runs) in [(true, 2), (false, 1)] {
            let mut endings = 0;
            walk(RetryPlan::new(is_repeatable), max_runs, 0, 1, 9, &mut endings);
            assert!(endings > 1000, "{endings}");
        }
    }

    /// The control: the walk notices a plan that has a run too many.
    #[test]
    #[should_panic(expected = "one run too many")]
    fn a_third_run_is_noticed() {
        let plan = RetryPlan { runs_left: 3, ..RetryPlan::new(true) };
        walk(plan, 2, 0, 1, 9, &mut 0);
    }
}
