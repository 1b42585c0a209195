//! Active health checks: probes upstreams and lets time pass for their health.
//!
//! It judges nothing itself: what a probe found goes to the balancer, whose [`health`](crate::health) has the state
//! machine.
//!
//! In reading order: [`checker`] (the loop), [`probe`] (one upstream's probes).

pub(crate) mod checker;
mod probe;
