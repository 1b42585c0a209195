//! What instances send about themselves: registrations, heartbeats and deregistrations.

use super::audit;
use super::response::{ChangeResponse, HandlerResult, deadline};
use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::context::AdminContext;
use crate::admin::views::upstreams;
use crate::roster::{InstanceReport, RosterError};
use homing::cluster::UpstreamConfig;
use homing::config::value;
use http::StatusCode;
use serde::Deserialize;
use std::net::SocketAddr;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeregisterRequest {
    /// How long its sessions may stay; without it the registration ends at once.
    #[serde(default)]
    drain: Option<String>,
}

/// Registers an instance. It is audited only where it changes anything: instances repeat it every few seconds.
pub(super) fn register(
    context: &AdminContext,
    peer: SocketAddr,
    config: UpstreamConfig,
    ttl: &str,
    report: Option<InstanceReport>,
) -> Result<ChangeResponse, Problem> {
    let ttl = value::duration(ttl).ok_or(RosterError::Ttl)?;
    let report = report.unwrap_or_default();
    report.check()?;
    let (name, now) = (config.name.clone(), context.clock.now());
    let applied = context.roster.register(config, ttl, now)?;
    if report != InstanceReport::default() {
        context.roster.heartbeat(&name, report, now)?;
    }
    Ok(ChangeResponse::audited(peer, "register", &applied))
}

pub(crate) fn heartbeat(context: &AdminContext, name: &str, report: InstanceReport) -> HandlerResult {
    context.roster.heartbeat(name, report, context.clock.now())?;
    reply::json(StatusCode::OK, &upstreams::one(context, name)?)
}

pub(crate) fn deregister(
    context: &AdminContext,
    peer: SocketAddr,
    name: &str,
    request: DeregisterRequest,
) -> HandlerResult {
    let drain = request.drain.as_deref().map(deadline).transpose()?;
    let applied = context.roster.deregister(name, drain, context.clock.now())?;
    if let Some(drain) = drain {
        let text = format!("{name}: goes within {}", humantime::format_duration(drain));
        audit::applied(peer, "deregister", text, applied.from, applied.generation);
    }
    reply::json(StatusCode::OK, &ChangeResponse::audited(peer, "deregister", &applied))
}
