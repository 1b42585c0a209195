//! The demo's operator: its buttons, on the balancer.

use crate::demo::{Operator, Standing};
use homing::time::{Clock, SystemClock};
use homing::{Balancer, Health};
use std::sync::Arc;
use std::time::Duration;

pub struct Desk(pub Arc<Balancer>);

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

    fn standing(&self, instance: &str) -> Standing {
        let cluster = self.0.cluster();
        let in_flight = cluster.find_name(instance).map_or(0, |member| member.upstream().in_flight());
        let status = self.0.status().into_iter().find(|status| status.name == instance);
        // An instance that the balancer does not have is nobody's.
        status.map_or(Standing { state: "down", cause: String::new(), accepts: false, is_drained: true }, |status| {
            Standing {
                state: status.state.as_str(),
                cause: status.cause.to_string(),
                accepts: status.health == Health::ACTIVE,
                is_drained: status.health == Health::DOWN && in_flight == 0,
            }
        })
    }
}
