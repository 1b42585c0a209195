//! What a host tells a balancer about its upstreams, and what it hears back.

use super::Balancer;
use crate::cluster::{Health, Upstream, UpstreamId};
use crate::health::{Outcome, ProbeResult, Subscription, UpstreamStatus};
use crate::time::Timestamp;
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

    /// Likewise. The time is asked for only where it matters.
    pub(crate) fn report_at(&self, upstream: &Upstream, outcome: Outcome, now: impl FnOnce() -> Timestamp) {
        if outcome == Outcome::Answered {
            upstream.vitals().answered();
            if upstream.health() == Health::ACTIVE {
                return;
            }
        }
        let now = now();
        self.health.lock().report(upstream.id(), outcome, now);
    }

    /// Tells how a probe fared.
    pub fn probe(&self, upstream: UpstreamId, result: ProbeResult, now: Timestamp) {
        self.health.lock().probe(upstream, result, now);
    }

    /// Lets time pass: what was out returns, slow starts end, silence is noticed. A host calls it some ten times a
    /// second; it looks at every upstream.
    pub fn tick(&self, now: Timestamp) {
        self.health.lock().tick(now);
    }

    /// Lets the upstream of this name take no new sessions. Those it has stay; with a `deadline` (from `now` on) they
    /// leave from then on, each at [its moment](Upstream::departure) within
    /// [`drain_spread`](crate::HealthSettings::drain_spread), and then it serves no more. Asked again, the new deadline
    /// counts.
    ///
    /// # Errors
    /// [`UnknownUpstream`].
    pub fn drain(&self, name: &str, deadline: Option<Duration>, now: Timestamp) -> Result<(), UnknownUpstream> {
        let id = self.id_of(name)?;
        self.health.lock().drain(id, deadline, now);
        Ok(())
    }

    /// Ends a drain: the upstream takes sessions again, after a slow start.
    ///
    /// # Errors
    /// [`UnknownUpstream`].
    pub fn resume(&self, name: &str, now: Timestamp) -> Result<(), UnknownUpstream> {
        let id = self.id_of(name)?;
        self.health.lock().resume(id, now);
        Ok(())
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

    fn id_of(&self, name: &str) -> Result<UpstreamId, UnknownUpstream> {
        let member = self.cluster().find_name(name).map(|member| member.upstream().id());
        member.ok_or_else(|| UnknownUpstream { name: name.to_owned() })
    }
}
