//! The demo's operator: its buttons and its instances' heartbeats, on the roster.

use crate::demo::app::{Figures, Operator, Standing};
use homing::Availability;
use homing::time::{Clock, SystemClock};
use homing_gateway::roster::{InstanceReport, Roster};
use std::sync::Arc;
use std::time::Duration;

pub struct Desk(pub Arc<Roster>);

impl Operator for Desk {
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

    fn heartbeat(&self, instance: &str, Figures { sessions, memory, threads, cpu }: Figures) {
        let figure = |figure: usize| Some(figure as u64);
        let (sessions, memory_bytes, threads) = (figure(sessions), figure(memory), figure(threads));
        // One that was removed is missed by nobody.
        drop(self.0.heartbeat(instance, InstanceReport { sessions, memory_bytes, threads, cpu }, SystemClock.now()));
    }

    fn standing(&self, instance: &str) -> Standing {
        let balancer = self.0.balancer();
        let cluster = balancer.cluster();
        let in_flight = cluster.find_name(instance).map_or(0, |member| member.upstream().in_flight());
        let status = balancer.status().into_iter().find(|status| status.name == instance);
        // An instance that the balancer does not have is nobody's.
        status.map_or(Standing { state: "down", cause: String::new(), accepts: false, is_drained: true }, |status| {
            Standing {
                state: status.state.as_str(),
                cause: status.cause.to_string(),
                accepts: status.availability == Availability::ACTIVE,
                is_drained: status.availability == Availability::DOWN && in_flight == 0,
            }
        })
    }
}
