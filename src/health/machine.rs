//! The state machine of one upstream: inputs change its condition; condition and drain together make its state.
//!
//! The condition is kept while an upstream drains, so one that crashes during its drain is down, and drains on when it
//! has returned.

use super::silence::SilenceTracker;
use super::{Cause, HealthSettings, Outcome, ProbeResult, State};
use crate::cluster::{Availability, Upstream};
use crate::hash::mix64;
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The condition of an upstream, apart from drains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    Active,
    SlowStart,
    Full,
    /// Judged, so panic mode may overrule it.
    Suspect(Suspicion),
    /// Judged by the status that probes get, so panic mode may overrule it.
    Failing,
    /// Down by proof.
    Down,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Suspicion {
    /// Requests fail. Ends with the ejection time.
    Failures,
    /// It does not respond. Ends with a response, or with the ejection time if no request waits then.
    Silence,
}

impl Condition {
    /// Whether panic mode may overrule it.
    pub(super) fn is_judged(self) -> bool {
        matches!(self, Self::Suspect(_) | Self::Failing)
    }

    /// Whether the condition keeps new sessions away.
    pub(super) fn is_out(self) -> bool {
        self.is_judged() || self == Self::Down
    }

    fn state(self) -> State {
        match self {
            Self::Active => State::Active,
            Self::SlowStart => State::SlowStart,
            Self::Full => State::Full,
            Self::Suspect(_) => State::Suspect,
            Self::Failing | Self::Down => State::Down,
        }
    }
}

/// Counters at the beginning of a window.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Timestamp,
    total: u64,
    failures: u32,
}

impl Mark {
    fn of(upstream: &Upstream, at: Timestamp) -> Self {
        Self { at, total: upstream.total(), failures: upstream.outcome_counters().failures() }
    }
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) upstream: Arc<Upstream>,
    pub(super) condition: Condition,
    cause: Cause,
    /// When the condition began.
    since: Timestamp,
    /// The drain that an operator ordered.
    pub(super) drain: Option<Drain>,
    /// What was published last.
    pub(super) published: Verdict,
    /// The earliest return from the current or last ejection.
    ejected_until: Timestamp,
    /// Ejections in succession, each soon after the one before.
    ejections: u32,
    /// The length of the last ejection.
    last_ejection: Duration,
    probed: bool,
    /// By its last report, it accepts no new sessions.
    says_full: bool,
    bad_probes: u32,
    /// Probes without a response in a row.
    timed_out_probes: u32,
    good_probes: u32,
    bad_connects: u32,
    /// The response count at the last report. While the upstream is active, `Answered` is only counted and not reported
    /// here, and a response ends a row of connection timeouts.
    responses_before: u32,
    /// The halves of the window for the failure rate.
    marks: [Mark; 2],
    silence: SilenceTracker,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    pub(super) since: Timestamp,
    /// When the first session leaves, and when the last.
    pub(super) leave: Option<(Timestamp, Timestamp)>,
    pub(super) is_drained: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    pub(super) state: State,
    pub(super) cause: Cause,
    pub(super) since: Timestamp,
    pub(super) availability: Availability,
}

impl Machine {
    pub(super) fn new(upstream: Arc<Upstream>, is_added: bool, now: Timestamp) -> Self {
        let (condition, cause) = match is_added {
            true => (Condition::SlowStart, Cause::Added),
            false => (Condition::Active, Cause::Configured),
        };
        upstream.lifecycle().set_slow_start_since((condition == Condition::SlowStart).then_some(now));
        let silence = SilenceTracker::new(&upstream, now);
        Self {
            published: Verdict { state: condition.state(), cause, since: now, availability: upstream.availability() },
            condition,
            cause,
            since: now,
            drain: None,
            ejected_until: now,
            ejections: 0,
            last_ejection: Duration::ZERO,
            probed: false,
            says_full: false,
            bad_probes: 0,
            timed_out_probes: 0,
            good_probes: 0,
            bad_connects: 0,
            responses_before: silence.responses(),
            marks: [Mark::of(&upstream, now); 2],
            silence,
            upstream,
        }
    }

    /// The state and availability as they should be, and why.
    pub(super) fn verdict(&self, panics: bool, now: Timestamp) -> Verdict {
        let overruled = panics && self.condition.is_judged();
        let drained = self.drain.map(|drain| match drain.leave {
            Some((_, end)) if now >= end => Availability::DOWN,
            _ => Availability::DRAINING,
        });
        let availability = match (overruled, drained) {
            (false, _) => self.condition.state().availability(),
            // Neither an operator's drain nor the upstream's own report is a judgement.
            (true, Some(availability)) => availability,
            (true, None) if self.says_full => State::Full.availability(),
            (true, None) => Availability::ACTIVE,
        };
        match (self.condition.state(), self.drain.zip(drained)) {
            (state, Some((drain, availability))) if state != State::Down => {
                Verdict { state: State::Draining, cause: Cause::Operator, since: drain.since, availability }
            }
            (state, _) => Verdict { state, cause: self.cause, since: self.since, availability },
        }
    }

    /// True once: when a drained upstream has nothing in flight and no session that could still come back.
    pub(super) fn notice_drained(&mut self, now: Timestamp) -> bool {
        let Some(drain) = &mut self.drain else { return false };
        let is_left = match drain.leave {
            Some((_, end)) => now >= end,
            None => self.upstream.live_sessions(now) == 0,
        };
        let is_drained = is_left && self.upstream.in_flight() == 0;
        is_drained && !std::mem::replace(&mut drain.is_drained, true)
    }

    /// Begins or replaces a drain.
    pub(super) fn drain_until(&mut self, drain: Drain, settings: &HealthSettings) {
        self.upstream.lifecycle().set_drain_deadline(drain.leave.map(|(start, _)| (start, settings.drain_spread)));
        self.drain = Some(drain);
    }

    /// Ends a drain: an upstream in good health returns with a slow start.
    pub(super) fn resume(&mut self, settings: &HealthSettings, now: Timestamp) {
        if self.condition == Condition::Active {
            self.return_to_service(Cause::Operator, settings, now);
        }
    }

    /// The outcome of a request. `Answered` is passed on only while the condition is not active.
    pub(super) fn report(&mut self, outcome: Outcome, settings: &HealthSettings, now: Timestamp) {
        let responses = self.upstream.outcome_counters().responses();
        let has_responded = std::mem::replace(&mut self.responses_before, responses) != responses;
        if has_responded || outcome != Outcome::ConnectTimedOut {
            self.bad_connects = 0;
        }
        match outcome {
            Outcome::Answered => {
                if self.condition == Condition::Suspect(Suspicion::Silence) {
                    self.return_to_service(Cause::Answers, settings, now);
                }
            }
            Outcome::ConnectRefused => self.take_down(Cause::ConnectRefused, settings, now),
            Outcome::ConnectTimedOut => {
                self.bad_connects += 1;
                if self.bad_connects >= settings.probes.fall {
                    self.take_down(Cause::ConnectTimedOut(self.bad_connects), settings, now);
                }
            }
            Outcome::TimedOut { after } => {
                self.silence.observe(&self.upstream, now);
                if self.silence.has_lasted(&self.upstream, after, settings.silence.min_requests, now) {
                    self.take_down(Cause::Unanswered(after), settings, now);
                } else {
                    self.failed(settings, now);
                }
            }
            Outcome::ServerError => {
                self.silence = SilenceTracker::new(&self.upstream, now);
                self.failed(settings, now);
            }
            Outcome::Broken => self.failed(settings, now),
        }
    }

    fn failed(&mut self, settings: &HealthSettings, now: Timestamp) {
        let outlier = &settings.outlier;
        let streak = self.upstream.outcome_counters().failed();
        if !matches!(self.condition, Condition::Active | Condition::SlowStart | Condition::Full) {
            return;
        }
        if outlier.consecutive > 0 && streak >= outlier.consecutive {
            return self.suspect(Suspicion::Failures, Cause::Failures(streak), settings, now);
        }
        let mark = self.marks[0];
        let requests = self.upstream.total().wrapping_sub(mark.total);
        let failures = u64::from(self.upstream.outcome_counters().failures().wrapping_sub(mark.failures));
        let rate = failures as f64 / requests.max(1) as f64;
        if requests >= u64::from(outlier.min_requests) && rate >= outlier.failure_rate {
            let percent = (rate * 100.0).min(100.0) as u8;
            self.suspect(Suspicion::Failures, Cause::FailureRate(percent), settings, now);
        }
    }

    /// The result of a probe.
    pub(super) fn probe(&mut self, result: ProbeResult, settings: &HealthSettings, now: Timestamp) {
        self.probed = true;
        if matches!(result, ProbeResult::Passed | ProbeResult::Full) {
            self.says_full = result == ProbeResult::Full;
            self.bad_probes = 0;
            self.good_probes = self.good_probes.saturating_add(1);
        } else {
            self.good_probes = 0;
            self.bad_probes = self.bad_probes.saturating_add(1);
        }
        self.timed_out_probes =
            if result == ProbeResult::TimedOut { self.timed_out_probes.saturating_add(1) } else { 0 };
        let fell = self.bad_probes >= settings.probes.fall;
        let is_timed_out = self.timed_out_probes >= settings.probes.fall;
        match (result, self.condition) {
            (ProbeResult::Refused, _) => self.take_down(Cause::ProbeRefused, settings, now),
            (ProbeResult::TimedOut, _) if is_timed_out => {
                self.take_down(Cause::ProbeTimedOut(self.timed_out_probes), settings, now);
            }
            (
                ProbeResult::Status(status),
                Condition::Active | Condition::SlowStart | Condition::Full | Condition::Suspect(_),
            ) if fell => {
                self.eject(Condition::Failing, Cause::ProbeStatus(status), settings.outlier.base, settings, now);
            }
            (ProbeResult::Passed, Condition::Full) => self.enter(Condition::Active, Cause::ProbesPass, now),
            (ProbeResult::Full, Condition::Active | Condition::SlowStart) => {
                self.enter(Condition::Full, Cause::ProbeFull, now);
            }
            (ProbeResult::Passed | ProbeResult::Full, Condition::Down | Condition::Failing) => {
                self.try_return(settings, now);
            }
            _ => {}
        }
    }

    /// Probing has stopped: forgets the results of probes, and ends conditions that only a probe could end.
    pub(super) fn forget_probes(&mut self, now: Timestamp) {
        (self.probed, self.says_full) = (false, false);
        (self.bad_probes, self.timed_out_probes, self.good_probes) = (0, 0, 0);
        if self.condition == Condition::Full {
            self.enter(Condition::Active, Cause::Operator, now);
        }
    }

    /// Applies the rules of time: silence, the ends of slow start and of ejections, and the window of the failure rate.
    pub(super) fn tick(&mut self, settings: &HealthSettings, now: Timestamp) {
        self.silence.observe(&self.upstream, now);
        if now.since(self.marks[1].at) >= settings.outlier.window / 2 {
            self.marks = [self.marks[1], Mark::of(&self.upstream, now)];
        }
        match self.condition {
            Condition::Active | Condition::SlowStart | Condition::Full
                if self.silence.is_silent(&self.upstream, settings.silence, now) =>
            {
                let silence = now.since(self.silence.since().unwrap_or(now));
                self.suspect(Suspicion::Silence, Cause::Silent(silence), settings, now);
            }
            Condition::SlowStart if now.since(self.since) >= settings.slow_start.window => {
                self.enter(Condition::Active, Cause::SlowStartOver, now);
            }
            Condition::Suspect(Suspicion::Silence) if self.silence.since().is_none() => {
                self.return_to_service(Cause::Answers, settings, now);
            }
            // A request that still waits is still evidence.
            Condition::Suspect(Suspicion::Silence) if self.upstream.in_flight() > 0 => {}
            Condition::Suspect(_) if now >= self.ejected_until => {
                self.return_to_service(Cause::BackoffOver, settings, now);
            }
            Condition::Down | Condition::Failing if !self.probed && now >= self.ejected_until => {
                self.return_to_service(Cause::BackoffOver, settings, now);
            }
            Condition::Down | Condition::Failing => self.try_return(settings, now),
            _ => {}
        }
    }

    fn take_down(&mut self, cause: Cause, settings: &HealthSettings, now: Timestamp) {
        if self.condition != Condition::Down {
            self.eject(Condition::Down, cause, settings.outlier.base / 10, settings, now);
        }
    }

    fn suspect(&mut self, suspicion: Suspicion, cause: Cause, settings: &HealthSettings, now: Timestamp) {
        self.eject(Condition::Suspect(suspicion), cause, settings.outlier.base, settings, now);
    }

    /// Ejects for `base` the first time, and for twice as long each further time that follows soon after the last.
    fn eject(&mut self, condition: Condition, cause: Cause, base: Duration, settings: &HealthSettings, now: Timestamp) {
        let long_ago = now.since(self.ejected_until) > self.last_ejection.saturating_mul(10).max(settings.outlier.base);
        self.ejections = if long_ago { 1 } else { self.ejections + 1 };
        let doubled = base.saturating_mul(1 << (self.ejections - 1).min(20)).min(settings.outlier.max);
        // Jitter from 3/4 to 5/4, so that upstreams that fell together do not return together.
        let random = mix64(self.upstream.id().as_u64() ^ mix64(now.as_millis() ^ u64::from(self.ejections) << 48));
        let jitter = 0.75 + 0.5 * (random >> 40) as f64 / f64::from(1 << 24);
        self.last_ejection = doubled.mul_f64(jitter);
        self.ejected_until = now.after(self.last_ejection);
        self.good_probes = 0;
        self.enter(condition, cause, now);
    }

    fn try_return(&mut self, settings: &HealthSettings, now: Timestamp) {
        if self.good_probes >= settings.probes.rise && now >= self.ejected_until {
            self.return_to_service(Cause::ProbesPass, settings, now);
        }
    }

    fn return_to_service(&mut self, cause: Cause, settings: &HealthSettings, now: Timestamp) {
        self.upstream.outcome_counters().forgive();
        self.bad_connects = 0;
        self.bad_probes = 0;
        self.timed_out_probes = 0;
        self.silence = SilenceTracker::new(&self.upstream, now);
        self.marks = [Mark::of(&self.upstream, now); 2];
        match settings.slow_start.window.is_zero() {
            _ if self.says_full => self.enter(Condition::Full, Cause::ProbeFull, now),
            true => self.enter(Condition::Active, cause, now),
            false => self.enter(Condition::SlowStart, cause, now),
        }
    }

    fn enter(&mut self, condition: Condition, cause: Cause, now: Timestamp) {
        self.condition = condition;
        self.cause = cause;
        self.since = now;
        let lifecycle = self.upstream.lifecycle();
        lifecycle.set_slow_start_since((condition == Condition::SlowStart).then_some(now));
        lifecycle.set_down_since(matches!(condition, Condition::Down | Condition::Failing).then_some(now));
    }

    /// The clock jumped ahead, or no input came for so long: responses may have gone unnoticed, so it is not silence.
    pub(super) fn skip_unobserved(&mut self, leap: Duration) {
        for time in self.silence.times_mut() {
            *time = time.after(leap);
        }
    }

    /// The clock went back by `jump`: all recorded times move back with it.
    pub(super) fn shift_back(&mut self, jump: Duration) {
        let marks = self.marks.iter_mut().map(|mark| &mut mark.at);
        let silence = self.silence.times_mut();
        let own = [&mut self.since, &mut self.ejected_until, &mut self.published.since];
        for time in own.into_iter().chain(marks).chain(silence) {
            *time = time.before(jump);
        }
        let lifecycle = self.upstream.lifecycle();
        lifecycle.set_slow_start_since(lifecycle.slow_start_since().map(|since| since.before(jump)));
        lifecycle.set_down_since(lifecycle.down_since().map(|since| since.before(jump)));
    }
}
