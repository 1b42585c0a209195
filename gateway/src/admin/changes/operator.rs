//! An operator's changes: planned and explained, applied, drained, resumed.

use super::response::{ChangeResponse, EffectJson, HandlerResult, deadline};
use super::{audit, instances};
use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::context::AdminContext;
use crate::admin::views::upstreams;
use crate::roster::InstanceReport;
use homing::balancer::Capacity;
use homing::cluster::{ApplyError, Change, Generation, UpstreamConfig};
use homing::http::is_host_port;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::SocketAddr;

/// The body of a request without parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmptyRequest {}

/// An upstream as it should be. What is left out gets its default, not the value it had before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutRequest {
    address: String,
    #[serde(default = "one")]
    weight: u16,
    #[serde(default)]
    max_in_flight: u32,
    /// With it the request is a registration.
    #[serde(default)]
    pub(crate) ttl: Option<String>,
    #[serde(default)]
    pub(crate) report: Option<Object<InstanceReport>>,
}

/// A value that must be a JSON object: serde accepts an array of the values in order as well.
#[derive(Deserialize)]
#[serde(try_from = "Map<String, Value>", bound = "T: DeserializeOwned")]
pub(crate) struct Object<T>(pub(crate) T);

impl<T: DeserializeOwned> TryFrom<Map<String, Value>> for Object<T> {
    type Error = serde_json::Error;

    fn try_from(object: Map<String, Value>) -> Result<Self, Self::Error> {
        serde_json::from_value(Value::Object(object)).map(Self)
    }
}

fn one() -> u16 {
    1
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ChangeRequest {
    Put(Object<UpstreamConfig>),
    Remove(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanRequest {
    changes: Vec<ChangeRequest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyRequest {
    generation: u64,
    changes: Vec<ChangeRequest>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrainRequest {
    #[serde(default)]
    deadline: Option<String>,
}

#[derive(Serialize)]
struct ForecastJson {
    generation: u64,
    effects: Vec<EffectJson>,
    moved_keys: Option<f64>,
    broken_sessions: u64,
    before: CapacityJson,
    after: CapacityJson,
    explanation: Vec<String>,
}

#[derive(Serialize)]
struct CapacityJson {
    upstreams: usize,
    accepting: usize,
    weight: u64,
    max_in_flight: Option<u64>,
}

impl From<Capacity> for CapacityJson {
    fn from(capacity: Capacity) -> Self {
        let Capacity { upstreams, accepting, weight, max_in_flight, .. } = capacity;
        Self { upstreams, accepting, weight, max_in_flight }
    }
}

fn with_valid_address(config: UpstreamConfig) -> Result<UpstreamConfig, Problem> {
    let UpstreamConfig { name, address, .. } = &config;
    match is_host_port(address) {
        true => Ok(config),
        false => Err(Problem::value(format!(
            "the address {address:?} of {name:?} is refused: use host:port such as \"10.0.0.1:8080\" or \"[::1]:8080\""
        ))),
    }
}

fn wishes(wishes: Vec<ChangeRequest>) -> Result<Vec<Change>, Problem> {
    let change = |wish| match wish {
        ChangeRequest::Put(Object(config)) => with_valid_address(config).map(Change::Put),
        ChangeRequest::Remove(name) => Ok(Change::Remove(name)),
    };
    wishes.into_iter().map(change).collect()
}

pub(crate) fn put(context: &AdminContext, peer: SocketAddr, name: &str, spec: &PutRequest) -> HandlerResult {
    let config = UpstreamConfig::new(name, &spec.address).weight(spec.weight).max_in_flight(spec.max_in_flight);
    let config = with_valid_address(config)?;
    let report = spec.report.as_ref().map(|Object(report)| *report);
    let done = match (&spec.ttl, report) {
        (Some(ttl), report) => instances::register(context, peer, config, ttl, report)?,
        (None, None) => change(context, peer, "put", &[Change::Put(config)], None)?,
        (None, Some(_)) => {
            return Err(Problem::value("a report comes with a registration: send its ttl, or a heartbeat"));
        }
    };
    let is_new = done.adds_an_upstream();
    reply::json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &done)
}

pub(crate) fn remove(context: &AdminContext, peer: SocketAddr, name: &str) -> HandlerResult {
    let changes = [Change::Remove(name.to_owned())];
    reply::json(StatusCode::OK, &change(context, peer, "remove", &changes, None)?)
}

pub(crate) fn apply(context: &AdminContext, peer: SocketAddr, expected: ApplyRequest) -> HandlerResult {
    let generation = Generation::from_u64(expected.generation);
    // Before the changes are read: those of another generation may be wrong for this one.
    let current = context.balancer.generation();
    if current != generation {
        return Err(ApplyError::Stale { planned: generation, current }.into());
    }
    let changes = wishes(expected.changes)?;
    reply::json(StatusCode::OK, &change(context, peer, "apply", &changes, Some(generation))?)
}

fn change(
    context: &AdminContext,
    peer: SocketAddr,
    action: &str,
    changes: &[Change],
    expected: Option<Generation>,
) -> Result<ChangeResponse, Problem> {
    let applied = context.roster.change(changes, expected, context.clock.now())?;
    Ok(ChangeResponse::audited(peer, action, &applied))
}

pub(crate) fn plan(context: &AdminContext, planned: PlanRequest) -> HandlerResult {
    let changes = wishes(planned.changes)?;
    let plan = context.roster.plan(&changes)?;
    let forecast = context.balancer.forecast(&plan, context.clock.now())?;
    let explained = ForecastJson {
        generation: forecast.base.as_u64(),
        effects: EffectJson::all(&forecast.effects),
        moved_keys: forecast.moved_keys,
        broken_sessions: forecast.broken_sessions,
        before: forecast.before.into(),
        after: forecast.after.into(),
        explanation: forecast.to_string().lines().map(str::to_owned).collect(),
    };
    reply::json(StatusCode::OK, &explained)
}

pub(crate) fn drain(context: &AdminContext, peer: SocketAddr, name: &str, draining: DrainRequest) -> HandlerResult {
    let deadline = draining.deadline.as_deref().map(deadline).transpose()?;
    context.roster.drain(name, deadline, context.clock.now())?;
    let text = match deadline {
        Some(deadline) => format!("{name}: drain within {}", humantime::format_duration(deadline)),
        None => format!("{name}: drain without a deadline"),
    };
    audited_state(context, peer, "drain", name, &text)
}

pub(crate) fn resume(context: &AdminContext, peer: SocketAddr, name: &str) -> HandlerResult {
    context.roster.resume(name, context.clock.now())?;
    audited_state(context, peer, "resume", name, &format!("{name}: resume"))
}

/// The response to what changes an upstream's state and no generation.
fn audited_state(
    context: &AdminContext,
    peer: SocketAddr,
    action: &'static str,
    name: &str,
    text: &str,
) -> HandlerResult {
    let generation = context.balancer.generation();
    audit::applied(peer, action, text, generation, generation);
    reply::json(StatusCode::OK, &upstreams::one(context, name)?)
}
