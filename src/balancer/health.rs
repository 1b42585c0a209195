//! What a host tells a balancer about its upstreams, and what it hears back.

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
    /// Tells how a request fared. An answer costs two relaxed operations while its upstream is active; everything else
    /// takes a lock and is looked at at once.
    pub fn report(&self, upstream: &Upstream, outcome: Outcome, now: Timestamp) {
        self.report_at(upstream, outcome, || now);
    }

    /// [`report`](Self::report) for hosts to whom reading the clock costs something: `now` is called only where the
    /// time matters, which it does not for an answer of an active upstream.
    pub fn report_at(&self, upstream: &Upstream, outcome: Outcome, now: impl FnOnce() -> Timestamp) {
        if outcome == Outcome::Answered {
            upstream.outcome_counters().answered();
            if upstream.availability() == Availability::ACTIVE {
                return;
            }
        }
        let now = now();
        self.tell(upstream, |health| health.report(upstream, outcome, now));
    }

    /// Tells how a probe fared.
    pub fn probe(&self, upstream: UpstreamId, result: ProbeResult, now: Timestamp) {
        let member = self.snapshot.load().cluster.find(upstream).map(|member| Arc::clone(member.upstream()));
        if let Some(upstream) = member {
            self.tell(&upstream, |health| health.probe(upstream.id(), result, now));
        }
    }

    /// Says that nobody probes any more, so that what only a probe could end does not last forever.
    pub fn forget_probes(&self) {
        self.health.lock().forget_probes();
    }

    /// Lets time pass: what was out returns, slow starts end, silence is noticed. A host calls it some ten times a
    /// second; it looks at every upstream, and once a window at every session that is [held](Upstream::guard_session).
    /// Where it was not called for two seconds, nothing is concluded from the silence of that time.
    pub fn tick(&self, now: Timestamp) {
        // Before the lock, which requests that fail wait for.
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

    /// Lets the upstream of this name take no new sessions. Those it has stay; with a `deadline` (from `now` on) they
    /// leave from then on, each at [its moment](Upstream::drain_deadline) within
    /// [`drain_spread`](crate::HealthSettings::drain_spread), and then it serves no more. Asked again, the new deadline
    /// counts.
    ///
    /// # Errors
    /// [`UnknownUpstream`].
    pub fn drain(&self, name: &str, deadline: Option<Duration>, now: Timestamp) -> Result<(), UnknownUpstream> {
        let upstream = self.named(name)?;
        self.tell(&upstream, |health| health.drain(upstream.id(), deadline, now));
        Ok(())
    }

    /// Ends a drain: the upstream takes sessions again, after a slow start.
    ///
    /// # Errors
    /// [`UnknownUpstream`].
    pub fn resume(&self, name: &str, now: Timestamp) -> Result<(), UnknownUpstream> {
        let upstream = self.named(name)?;
        self.tell(&upstream, |health| health.resume(upstream.id(), now));
        Ok(())
    }

    /// Over how long sessions leave, once a drain's deadline has come.
    pub fn drain_spread(&self) -> Duration {
        self.health.lock().drain_spread()
    }

    /// Says which process is behind an upstream now: any number but 0, constant for the process' life and most likely
    /// different for the next. See [`Upstream::set_incarnation`].
    pub fn set_incarnation(&self, upstream: &Upstream, incarnation: u16, now: Timestamp) {
        let before = upstream.incarnation();
        upstream.set_incarnation(incarnation);
        if before != 0 && before != incarnation {
            self.health.lock().restarted(upstream, before, incarnation, now);
        }
    }

    /// How every upstream is doing, in the cluster's order.
    #[must_use]
    pub fn status(&self) -> Vec<UpstreamStatus> {
        let cluster = self.cluster();
        self.health.lock().status(&cluster)
    }

    /// How the upstream called `id` is doing, where the cluster has it.
    #[must_use]
    pub fn status_of(&self, id: UpstreamId) -> Option<UpstreamStatus> {
        self.health.lock().status_of(id)
    }

    /// Whether so many upstreams look bad that [judgements](crate::health) are ignored.
    #[must_use]
    pub fn panics(&self) -> bool {
        self.health.lock().panics()
    }

    /// Every event from here on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.health.lock().subscribe()
    }

    /// Tells what happened to one upstream. Others are concerned where it begins to warm, or ends.
    fn tell(&self, upstream: &Upstream, what: impl FnOnce(&mut Monitor)) {
        let mut health = self.health.lock();
        let before = upstream.lifecycle().slow_start_since();
        what(&mut health);
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
