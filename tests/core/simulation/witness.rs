//! A naive record of the outcomes between a proxy and an upstream, against which the balancer's states are checked.

use homing::health::{Cause, HealthSettings, Outcome, ProbeResult, State};
use std::time::Duration;

#[derive(Default)]
pub struct Witness {
    last: Option<Outcome>,
    /// Connections that timed out since the last that did not.
    connect_timeouts: u32,
    /// Failed requests since the last response below 500.
    failures: u32,
    /// When the last response came, with any status.
    answered_at: u64,
    last_probe: Option<ProbeResult>,
    says_full: bool,
    refused_probes: u32,
    silent_probes: u32,
    bad_probes: u32,
    good_probes: u32,
}

impl Witness {
    /// The record of an upstream that is added at `now`.
    pub fn new(now: u64) -> Self {
        Self { answered_at: now, ..Self::default() }
    }

    pub fn saw(&mut self, outcome: Outcome, now: u64) {
        self.last = Some(outcome);
        match outcome {
            Outcome::ConnectTimedOut => self.connect_timeouts += 1,
            _ => self.connect_timeouts = 0,
        }
        match outcome {
            Outcome::Answered => self.failures = 0,
            Outcome::ConnectRefused | Outcome::ConnectTimedOut => {}
            _ => self.failures += 1,
        }
        if matches!(outcome, Outcome::Answered | Outcome::ServerError) {
            self.answered_at = now;
        }
    }

    pub fn probed(&mut self, result: ProbeResult) {
        let count = |row: &mut u32, goes_on| *row = if goes_on { *row + 1 } else { 0 };
        let is_good = matches!(result, ProbeResult::Passed | ProbeResult::Full);
        self.last_probe = Some(result);
        self.says_full = if is_good { result == ProbeResult::Full } else { self.says_full };
        count(&mut self.refused_probes, result == ProbeResult::Refused);
        count(&mut self.silent_probes, result == ProbeResult::TimedOut);
        count(&mut self.bad_probes, !is_good);
        count(&mut self.good_probes, is_good);
    }

    /// Clears the evidence: the upstream has returned to service.
    pub fn forgive(&mut self) {
        self.last = None;
        self.connect_timeouts = 0;
    }

    /// Whether the last good probe reported that it accepts no new sessions.
    pub fn says_full(&self) -> bool {
        self.says_full
    }

    /// Whether there is proof that the upstream is down.
    pub fn is_proven_gone(&self, settings: &HealthSettings) -> bool {
        self.last == Some(Outcome::ConnectRefused) || self.connect_timeouts >= settings.probes.fall
    }

    /// Whether the record justifies a change of state.
    pub fn bears_out(&self, from: State, to: State, cause: Cause, settings: &HealthSettings, now: u64) -> bool {
        let fall = settings.probes.fall;
        let silence = Duration::from_millis(now - self.answered_at);
        match cause {
            Cause::ConnectRefused => self.last == Some(Outcome::ConnectRefused),
            Cause::ConnectTimedOut(_) => self.connect_timeouts >= fall,
            Cause::Unanswered(after) => matches!(self.last, Some(Outcome::TimedOut { .. })) && silence >= after,
            Cause::ProbeRefused => self.refused_probes > 0,
            Cause::ProbeTimedOut(_) => self.silent_probes >= fall,
            Cause::ProbeStatus(_) => self.bad_probes >= fall && matches!(self.last_probe, Some(ProbeResult::Status(_))),
            Cause::Failures(_) => self.failures >= settings.outlier.consecutive,
            Cause::FailureRate(_) => self.failures > 0,
            Cause::Silent(_) => silence >= settings.silence.after,
            Cause::ProbeFull => self.says_full(),
            Cause::ProbesPass if from == State::Full => self.last_probe == Some(ProbeResult::Passed),
            Cause::ProbesPass => self.good_probes >= settings.probes.rise,
            Cause::BackoffOver => from == State::Suspect || self.last_probe.is_none(),
            Cause::Answers => from == State::Suspect,
            Cause::SlowStartOver => from == State::SlowStart && to == State::Active,
            Cause::Operator => from == State::Draining || to == State::Draining,
            Cause::Configured | Cause::Added => true,
            other => panic!("an unknown cause: {other}"),
        }
    }
}
