//! The state machines of all upstreams: panic mode, and the publication of changes.

use super::event::Subscribers;
use super::machine::{Drain, Machine, Verdict};
use super::{Cause, EventKind, HealthSettings, Outcome, ProbeResult, State, Subscription};
use crate::cluster::{Availability, Cluster, IdMap, Upstream, UpstreamId};
use crate::time::{CLOCK_TOLERANCE, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// The health of an upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct UpstreamStatus {
    /// The upstream's name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// The cause of the last change of state.
    pub cause: Cause,
    /// When it entered the state.
    pub since: Timestamp,
    /// The availability in force, which panic mode may set against the state.
    pub availability: Availability,
}

#[derive(Debug)]
pub(crate) struct Monitor {
    settings: HealthSettings,
    machines: IdMap<Machine>,
    panics: bool,
    now: Timestamp,
    subscribers: Subscribers,
}

impl Monitor {
    pub(crate) fn new(settings: HealthSettings, cluster: &Cluster) -> Self {
        let start = Timestamp::default();
        let machine = |upstream: &Arc<Upstream>| (upstream.id(), Machine::new(Arc::clone(upstream), false, start));
        let machines = cluster.members().iter().map(|member| machine(member.upstream())).collect();
        Self { settings, machines, panics: false, now: start, subscribers: Subscribers::default() }
    }

    /// Uses other settings from now on. State is kept; drains keep the spread they began with.
    pub(crate) fn reconfigure(&mut self, settings: HealthSettings) {
        self.settings = settings;
        self.publish_all(self.now);
    }

    pub(crate) fn subscribe(&mut self) -> Subscription {
        self.subscribers.subscribe()
    }

    /// The latest time that was passed in.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// The time over which sessions leave after a drain's deadline.
    pub(crate) fn drain_spread(&self) -> Duration {
        self.settings.drain_spread
    }

    /// Follows a change of membership. Added upstreams begin in slow start; one that only changed its address stays
    /// drained.
    pub(crate) fn follow(&mut self, cluster: &Cluster) {
        let (now, has_slow_start) = (self.now, !self.settings.slow_start.window.is_zero());
        let mut before = std::mem::take(&mut self.machines);
        for member in cluster.members() {
            let upstream = member.upstream();
            let machine = match before.remove(&upstream.id()) {
                Some(machine) if Arc::ptr_eq(&machine.upstream, upstream) => machine,
                other => {
                    let mut machine = Machine::new(Arc::clone(upstream), has_slow_start, now);
                    if let Some(drain) = other.and_then(|machine| machine.drain) {
                        machine.drain_until(drain, &self.settings);
                    }
                    machine
                }
            };
            self.machines.insert(upstream.id(), machine);
        }
        self.publish_all(now);
    }

    /// An outcome of a former address says nothing about the process at the present one, and is ignored.
    pub(crate) fn report(&mut self, upstream: &Upstream, outcome: Outcome, now: Timestamp) {
        let machine = self.machines.get(&upstream.id());
        if machine.is_none_or(|machine| !std::ptr::eq(&*machine.upstream, upstream)) {
            return;
        }
        self.input(upstream.id(), now, |machine, settings, now| machine.report(outcome, settings, now));
    }

    /// Probing has stopped: conditions that only a probe could end, end.
    pub(crate) fn forget_probes(&mut self) {
        let now = self.now;
        self.machines.values_mut().for_each(|machine| machine.forget_probes(now));
        self.publish_all(now);
    }

    pub(crate) fn probe(&mut self, id: UpstreamId, result: ProbeResult, now: Timestamp) {
        self.input(id, now, |machine, settings, now| machine.probe(result, settings, now));
    }

    pub(crate) fn tick(&mut self, now: Timestamp) {
        let now = self.at(now);
        for machine in self.machines.values_mut() {
            machine.tick(&self.settings, now);
        }
        self.publish_all(now);
    }

    pub(crate) fn drain(&mut self, id: UpstreamId, deadline: Option<Duration>, now: Timestamp) {
        self.input(id, now, |machine, settings, now| {
            let leave =
                deadline.map(|deadline| (now.after(deadline), now.after(deadline).after(settings.drain_spread)));
            let since = machine.drain.map_or(now, |drain| drain.since);
            machine.drain_until(Drain { since, leave, is_drained: false }, settings);
        });
    }

    pub(crate) fn resume(&mut self, id: UpstreamId, now: Timestamp) {
        self.input(id, now, |machine, settings, now| {
            if machine.drain.take().is_some() {
                machine.upstream.lifecycle().set_drain_deadline(None);
                machine.resume(settings, now);
            }
        });
    }

    pub(crate) fn restarted(&mut self, upstream: &Upstream, from: u16, to: u16, now: Timestamp) {
        let now = self.at(now);
        self.subscribers.publish(now, Some(upstream), EventKind::Restarted { from, to });
    }

    pub(crate) fn status(&self, cluster: &Cluster) -> Vec<UpstreamStatus> {
        cluster.members().iter().filter_map(|member| self.status_of(member.upstream().id())).collect()
    }

    pub(crate) fn status_of(&self, id: UpstreamId) -> Option<UpstreamStatus> {
        let machine = self.machines.get(&id)?;
        let Verdict { state, cause, since, .. } = machine.published;
        let (name, availability) = (machine.upstream.name().to_owned(), machine.upstream.availability());
        Some(UpstreamStatus { name, state, cause, since, availability })
    }

    pub(crate) fn panics(&self) -> bool {
        self.panics
    }

    fn input(&mut self, id: UpstreamId, now: Timestamp, change: impl FnOnce(&mut Machine, &HealthSettings, Timestamp)) {
        let now = self.at(now);
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let before = machine.condition;
        change(machine, &self.settings, now);
        // Other upstreams are concerned only where panic mode may change.
        match before.is_judged() == machine.condition.is_judged() && before.is_out() == machine.condition.is_out() {
            true => publish(machine, self.panics, &mut self.subscribers, now),
            false => self.publish_all(now),
        }
    }

    /// Advances the monitor's time, which never goes back. Where the clock was set back, all recorded times move back
    /// with it. Where it jumps ahead, or no input came for so long, that time is no evidence of silence.
    fn at(&mut self, now: Timestamp) -> Timestamp {
        let (jump, leap) = (self.now.since(now), now.since(self.now));
        if jump > CLOCK_TOLERANCE {
            self.machines.values_mut().for_each(|machine| machine.shift_back(jump));
            self.now = now;
        } else if leap > CLOCK_TOLERANCE {
            self.machines.values_mut().for_each(|machine| machine.skip_unobserved(leap));
        }
        self.now = self.now.max(now);
        self.now
    }

    fn publish_all(&mut self, now: Timestamp) {
        self.update_panic(now);
        for machine in self.machines.values_mut() {
            publish(machine, self.panics, &mut self.subscribers, now);
        }
    }

    /// Begins panic mode when more than the cap is out: so many ejections are more likely errors of judgement. Ends it
    /// at half of the cap; the hysteresis keeps it from beginning and ending over and over.
    fn update_panic(&mut self, now: Timestamp) {
        let count = |is: fn(&Machine) -> bool| self.machines.values().filter(|machine| is(machine)).count();
        let judged = count(|machine| machine.condition.is_judged());
        let out = count(|machine| machine.condition.is_out());
        let cap = self.machines.len() as f64 * self.settings.outlier.max_ejected;
        let panics = match self.panics {
            false => judged > 0 && out as f64 > cap,
            true => judged > 0 && out as f64 > cap / 2.0,
        };
        if std::mem::replace(&mut self.panics, panics) != panics {
            let kind = if panics { EventKind::PanicBegan } else { EventKind::PanicEnded };
            self.subscribers.publish(now, None, kind);
        }
    }
}

/// Publishes what changed about one upstream, to its cell and to subscribers.
fn publish(machine: &mut Machine, panics: bool, subscribers: &mut Subscribers, now: Timestamp) {
    let verdict = machine.verdict(panics, now);
    let before = std::mem::replace(&mut machine.published, verdict);
    // Only changes are written: a host may set availability itself.
    if before.availability != verdict.availability {
        machine.upstream.set_availability(verdict.availability);
    }
    if before.state != verdict.state {
        let kind = EventKind::Changed { from: before.state, to: verdict.state, cause: verdict.cause };
        subscribers.publish(now, Some(&machine.upstream), kind);
    }
    if machine.notice_drained(now) {
        subscribers.publish(now, Some(&machine.upstream), EventKind::Drained);
    }
}
