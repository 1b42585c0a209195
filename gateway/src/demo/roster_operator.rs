//! The demo's [`Operator`]: its buttons and its instances' heartbeats go to the gateway's roster.

use super::app::{InstanceFigures, InstanceStatus, Operator};
use homing::Availability;
use homing::time::{Clock, SystemClock};
use homing_gateway::roster::{InstanceReport, Roster};
use std::sync::Arc;
use std::time::Duration;

pub struct RosterOperator(pub Arc<Roster>);

impl Operator for RosterOperator {
    fn drain(&self, instance: &str, deadline: Duration) {
        if let Err(error) = self.0.drain(instance, Some(deadline), SystemClock.now()) {
            tracing::warn!(%error, "not drained");
        }
    }

    fn resume(&self, instance: &str) {
        if let Err(error) = self.0.resume(instance, SystemClock.now()) {
            tracing::warn!(%error, "not resumed");
        }
    }

    fn heartbeat(&self, instance: &str, figures: InstanceFigures) {
        let InstanceFigures { sessions, memory, threads, cpu } = figures;
        let figure = |figure: usize| Some(figure as u64);
        let (sessions, memory_bytes, threads) = (figure(sessions), figure(memory), figure(threads));
        // It fails only for an instance that was removed on the dashboard.
        drop(self.0.heartbeat(instance, InstanceReport { sessions, memory_bytes, threads, cpu }, SystemClock.now()));
    }

    fn status(&self, instance: &str) -> InstanceStatus {
        let balancer = self.0.balancer();
        let cluster = balancer.cluster();
        let in_flight = cluster.find_name(instance).map_or(0, |member| member.upstream().in_flight());
        let status = balancer.status().into_iter().find(|status| status.name == instance);
        // One that was removed on the dashboard gets no sessions and has none.
        let removed = InstanceStatus { state: "down", cause: String::new(), accepts: false, is_drained: true };
        status.map_or(removed, |status| InstanceStatus {
            state: status.state.as_str(),
            cause: status.cause.to_string(),
            accepts: status.availability == Availability::ACTIVE,
            is_drained: status.availability == Availability::DOWN && in_flight == 0,
        })
    }
}
