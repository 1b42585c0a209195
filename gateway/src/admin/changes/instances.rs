//! What instances say of themselves: that they are there, how they are, and that they go.

use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::builder::AdminContext;
use crate::admin::changes::audit;
use crate::admin::changes::operator::{self, ChangeResponse, HandlerResult};
use crate::admin::views::upstreams;
use crate::roster::{InstanceReport, RosterError};
use homing::cluster::UpstreamConfig;
use http::StatusCode;
use serde::Deserialize;
use std::net::SocketAddr;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeregisterRequest {
    /// How long its sessions may stay; without it goes at once.
    #[serde(default)]
    drain: Option<String>,
}

/// An instance puts itself there. Only what changes by it is written down: it may well say so every few seconds.
pub(crate) fn register(
    shared: &AdminContext,
    peer: SocketAddr,
    config: UpstreamConfig,
    ttl: &str,
    report: Option<InstanceReport>,
) -> Result<ChangeResponse, Problem> {
    let ttl = humantime::parse_duration(ttl).map_err(|_| RosterError::Ttl)?;
    let report = report.unwrap_or_default();
    report.check()?;
    let (name, now) = (config.name.clone(), shared.clock.now());
    let applied = shared.roster.register(config, ttl, now)?;
    if report != InstanceReport::default() {
        shared.roster.heartbeat(&name, report, now)?;
    }
    Ok(operator::done(peer, "register", &applied))
}

pub(crate) fn heartbeat(shared: &AdminContext, name: &str, report: InstanceReport) -> HandlerResult {
    shared.roster.heartbeat(name, report, shared.clock.now())?;
    reply::json(StatusCode::OK, &upstreams::one(shared, name)?)
}

pub(crate) fn deregister(
    shared: &AdminContext,
    peer: SocketAddr,
    name: &str,
    leaving: DeregisterRequest,
) -> HandlerResult {
    let drain = leaving.drain.as_deref().map(operator::deadline).transpose()?;
    let applied = shared.roster.deregister(name, drain, shared.clock.now())?;
    if let Some(drain) = drain {
        let text = format!("{name}: goes within {}", humantime::format_duration(drain));
        audit::done(peer, "deregister", text, applied.from, applied.generation);
    }
    reply::json(StatusCode::OK, &operator::done(peer, "deregister", &applied))
}
