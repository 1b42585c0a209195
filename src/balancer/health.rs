//! Outcomes, probes, drains and time go in; status and events come out.

use super::balancer::Balancer;
use crate::cluster::{Availability, Upstream, UpstreamId};
use crate::health::{Monitor, Outcome, ProbeResult, Subscription, UpstreamStatus};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// There is no upstream of that name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no upstream {name:?}: check its name against the cluster's")]
pub struct UnknownUpstream {
    /// The name.
    pub name: String,
}

impl Balancer {
    /// Reports the outcome of a request. A response costs two relaxed operations while its upstream is active;
    /// everything else takes a lock and is evaluated at once.
    ///
    /// Report only while [`tick`](Self::tick) is called too: an ejected upstream would otherwise never return.
    pub fn report(&self, upstream: &Upstream, outcome: Outcome, now: Timestamp) {
        self.report_at(upstream, outcome, || now);
    }

    /// [`report`](Self::report) for hosts where reading the clock is expensive: `now` is called only where the time
    /// matters, which it does not for a response of an active upstream.
    pub fn report_at(&self, upstream: &Upstream, outcome: Outcome, now: impl FnOnce() -> Timestamp) {
        if outcome == Outcome::Answered {
            upstream.outcome_counters().responded();
            if upstream.availability() == Availability::ACTIVE {
                return;
            }
        }
        let now = now();
        self.input(upstream, |health| health.report(upstream, outcome, now));
    }

    /// Reports the result of a probe.
    pub fn probe(&self, upstream: UpstreamId, result: ProbeResult, now: Timestamp) {
        let member = self.snapshot.load().cluster.find(upstream).map(|member| Arc::clone(member.upstream()));
        if let Some(upstream) = member {
            self.input(&upstream, |health| health.probe(upstream.id(), result, now));
        }
    }

    /// Probing has stopped: conditions that only a probe could end, end.
    pub fn forget_probes(&self) {
        self.health.lock().forget_probes();
    }

    /// Lets time pass: ejected upstreams return, slow starts end, silence is noticed. Call it about ten times a
    /// second; it reads every upstream, and once a window every [guarded](Upstream::guard_session) session. Where it
    /// was not called for two seconds, that time is no evidence of silence.
    pub fn tick(&self, now: Timestamp) {
        // Before the health lock is taken, which requests that fail wait for.
        self.snapshot.load().cluster.members().iter().for_each(|member| member.upstream().touch_guarded(now));
        let mut health = self.health.lock();
        health.tick(now);
        let (snapshot, now) = (self.snapshot.load(), health.now());
        self.slow_start.update(snapshot.settings.slow_start, &snapshot.cluster, now);
        if let (Some(rebalance), Some(affinity)) = (&snapshot.settings.rebalance, &snapshot.settings.affinity) {
            self.rebalance.update(
                rebalance.quota,
                &snapshot.cluster,
                Duration::from_secs(1 << affinity.live_window()),
                now,
            );
        }
    }

    /// The upstream of this name accepts no new sessions. Those it has stay; with a `deadline` (relative to `now`)
    /// they leave after it, each at [its drain deadline](Upstream::drain_deadline) within
    /// [`drain_spread`](crate::HealthSettings::drain_spread), and then the upstream does not serve either. Called
    /// again, the new deadline counts.
    ///
    /// # Errors
    /// [`UnknownUpstream`].
    pub fn drain(&self, name: &str, deadline: Option<Duration>, now: Timestamp) -> Result<(), UnknownUpstream> {
        let upstream = self.named(name)?;
        self.input(&upstream, |health| health.drain(upstream.id(), deadline, now));
        Ok(())
    }

    /// Ends a drain: the upstream accepts sessions again, after a slow start.
    ///
    /// # Errors
    /// [`UnknownUpstream`].
    pub fn resume(&self, name: &str, now: Timestamp) -> Result<(), UnknownUpstream> {
        let upstream = self.named(name)?;
        self.input(&upstream, |health| health.resume(upstream.id(), now));
        Ok(())
    }

    /// The time over which sessions leave after a drain's deadline.
    pub fn drain_spread(&self) -> Duration {
        self.health.lock().drain_spread()
    }

    /// Sets the number of the process behind an upstream: any number but 0, constant for the process' life and most
    /// likely different for the next. See [`Upstream::set_incarnation`].
    pub fn set_incarnation(&self, upstream: &Upstream, incarnation: u16, now: Timestamp) {
        let before = upstream.incarnation();
        upstream.set_incarnation(incarnation);
        if before != 0 && before != incarnation {
            self.health.lock().restarted(upstream, before, incarnation, now);
        }
    }

    /// The health of every upstream, in the cluster's order.
    #[must_use]
    pub fn status(&self) -> Vec<UpstreamStatus> {
        let cluster = self.cluster();
        self.health.lock().status(&cluster)
    }

    /// The health of the upstream `id`, where the cluster has it.
    #[must_use]
    pub fn status_of(&self, id: UpstreamId) -> Option<UpstreamStatus> {
        self.health.lock().status_of(id)
    }

    /// Whether panic mode is on: so many upstreams look bad that [judgements](crate::health) are ignored.
    #[must_use]
    pub fn panics(&self) -> bool {
        self.health.lock().panics()
    }

    /// Subscribes to every event from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.health.lock().subscribe()
    }

    /// Passes an input of one upstream to the monitor. Slow start is updated where one begins or ends.
    fn input(&self, upstream: &Upstream, change: impl FnOnce(&mut Monitor)) {
        let mut health = self.health.lock();
        let before = upstream.lifecycle().slow_start_since();
        change(&mut health);
        if upstream.lifecycle().slow_start_since() != before {
            let snapshot = self.snapshot.load();
            self.slow_start.update(snapshot.settings.slow_start, &snapshot.cluster, health.now());
        }
    }

    fn named(&self, name: &str) -> Result<Arc<Upstream>, UnknownUpstream> {
        let upstream = self.snapshot.load().cluster.find_name(name).map(|member| Arc::clone(member.upstream()));
        upstream.ok_or_else(|| UnknownUpstream { name: name.to_owned() })
    }
}
