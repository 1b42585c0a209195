//! What changes the cluster: planned, explained, applied, drained, resumed.

use crate::admin::api::body::AdminBody;
use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::builder::AdminContext;
use crate::admin::changes::audit;
use crate::admin::changes::instances;
use crate::admin::views::upstreams;
use crate::roster::{Applied, InstanceReport, RosterChange};
use homing::balancer::Capacity;
use homing::cluster::{ApplyError, Change, Effect, Generation, UpstreamConfig};
use homing::http::is_host_port;
use http::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::time::Duration;

/// The longest deadline, as in configuration files: what is longer is surely a mistake.
const MAX_DEADLINE: Duration = Duration::from_hours(400 * 24);

pub(crate) type HandlerResult = Result<Response<AdminBody>, Problem>;

/// What stands in a body that says nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmptyRequest {}

/// An upstream as it is to be. What is left out has its default, not what it had before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutRequest {
    address: String,
    #[serde(default = "one")]
    weight: u16,
    #[serde(default)]
    max_in_flight: u32,
    /// Makes it a registration.
    #[serde(default)]
    pub(crate) ttl: Option<String>,
    #[serde(default)]
    pub(crate) report: Option<Object<InstanceReport>>,
}

/// A value that is an object: serde would take an array for its values in order.
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
    Put(Object<Named>),
    Remove(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    address: String,
    #[serde(default = "one")]
    weight: u16,
    #[serde(default)]
    max_in_flight: u32,
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

/// What was done.
#[derive(Serialize)]
pub(crate) struct ChangeResponse {
    from_generation: u64,
    generation: u64,
    effects: Vec<EffectJson>,
}

/// What one upstream sees of a change.
#[derive(Serialize)]
struct EffectJson {
    upstream: String,
    effect: &'static str,
    text: String,
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
        let Capacity { upstreams, accepting, weight, max_in_flight } = capacity;
        Self { upstreams, accepting, weight, max_in_flight }
    }
}

fn seen(effects: &[Effect]) -> Vec<EffectJson> {
    let one = |effect: &Effect| {
        let (upstream, kind) = match effect {
            Effect::Added(name) => (name, "added"),
            Effect::Removed { name, .. } => (name, "removed"),
            Effect::Changed(name) => (name, "changed"),
        };
        EffectJson { upstream: upstream.clone(), effect: kind, text: effect.to_string() }
    };
    effects.iter().map(one).collect()
}

fn config(name: &str, address: &str, weight: u16, max_in_flight: u32) -> Result<UpstreamConfig, Problem> {
    match is_host_port(address) {
        true => Ok(UpstreamConfig::new(name, address).weight(weight).max_in_flight(max_in_flight)),
        false => Err(Problem::value(format!(
            "the address {address:?} of {name:?} is refused: use host:port such as \"10.0.0.1:8080\" or \"[::1]:8080\""
        ))),
    }
}

fn wishes(wishes: Vec<ChangeRequest>) -> Result<Vec<Change>, Problem> {
    let change = |wish| match wish {
        ChangeRequest::Put(Object(Named { name, address, weight, max_in_flight })) => {
            config(&name, &address, weight, max_in_flight).map(Change::Put)
        }
        ChangeRequest::Remove(name) => Ok(Change::Remove(name)),
    };
    wishes.into_iter().map(change).collect()
}

pub(crate) fn put(shared: &AdminContext, peer: SocketAddr, name: &str, spec: &PutRequest) -> HandlerResult {
    let config = config(name, &spec.address, spec.weight, spec.max_in_flight)?;
    let report = spec.report.as_ref().map(|Object(report)| *report);
    let done = match (&spec.ttl, report) {
        (Some(ttl), report) => instances::register(shared, peer, config, ttl, report)?,
        (None, None) => change(shared, peer, "put", &[Change::Put(config)], None)?,
        (None, Some(_)) => {
            return Err(Problem::value("a report comes with a registration: send its ttl, or a heartbeat"));
        }
    };
    let is_new = done.effects.iter().any(|seen| seen.effect == "added");
    reply::json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &done)
}

pub(crate) fn remove(shared: &AdminContext, peer: SocketAddr, name: &str) -> HandlerResult {
    let changes = [Change::Remove(name.to_owned())];
    reply::json(StatusCode::OK, &change(shared, peer, "remove", &changes, None)?)
}

pub(crate) fn apply(shared: &AdminContext, peer: SocketAddr, expected: ApplyRequest) -> HandlerResult {
    let generation = Generation::from_u64(expected.generation);
    // First, since what was planned may make no sense any more.
    let current = shared.balancer.generation();
    if current != generation {
        return Err(ApplyError::Stale { planned: generation, current }.into());
    }
    let changes = wishes(expected.changes)?;
    reply::json(StatusCode::OK, &change(shared, peer, "apply", &changes, Some(generation))?)
}

fn change(
    shared: &AdminContext,
    peer: SocketAddr,
    action: &str,
    changes: &[Change],
    expected: Option<Generation>,
) -> Result<ChangeResponse, Problem> {
    Ok(done(peer, action, &shared.roster.change(changes, expected, shared.clock.now())?))
}

/// Writes down what was applied, where anything was.
pub(crate) fn done(peer: SocketAddr, action: &str, applied: &Applied) -> ChangeResponse {
    let Applied { from, generation, effects } = applied;
    if from != generation {
        let effects = RosterChange::Applied(effects.clone());
        audit::done(peer, action, &effects, *from, *generation);
    }
    ChangeResponse { from_generation: from.as_u64(), generation: generation.as_u64(), effects: seen(effects) }
}

pub(crate) fn plan(shared: &AdminContext, planned: PlanRequest) -> HandlerResult {
    let changes = wishes(planned.changes)?;
    let plan = shared.roster.plan(&changes)?;
    let forecast = shared.balancer.forecast(&plan, shared.clock.now())?;
    let explained = ForecastJson {
        generation: forecast.base.as_u64(),
        effects: seen(&forecast.effects),
        moved_keys: forecast.moved_keys,
        broken_sessions: forecast.broken_sessions,
        before: forecast.before.into(),
        after: forecast.after.into(),
        explanation: forecast.to_string().lines().map(str::to_owned).collect(),
    };
    reply::json(StatusCode::OK, &explained)
}

pub(crate) fn drain(shared: &AdminContext, peer: SocketAddr, name: &str, draining: DrainRequest) -> HandlerResult {
    let deadline = draining.deadline.as_deref().map(deadline).transpose()?;
    shared.roster.drain(name, deadline, shared.clock.now())?;
    let text = match deadline {
        Some(deadline) => format!("{name}: drain within {}", humantime::format_duration(deadline)),
        None => format!("{name}: drain without a deadline"),
    };
    ordered(shared, peer, "drain", name, &text)
}

pub(crate) fn resume(shared: &AdminContext, peer: SocketAddr, name: &str) -> HandlerResult {
    shared.roster.resume(name, shared.clock.now())?;
    ordered(shared, peer, "resume", name, &format!("{name}: resume"))
}

/// What changes an upstream's state and no generation.
fn ordered(shared: &AdminContext, peer: SocketAddr, action: &'static str, name: &str, text: &str) -> HandlerResult {
    let generation = shared.balancer.generation();
    audit::done(peer, action, text, generation, generation);
    reply::json(StatusCode::OK, &upstreams::one(shared, name)?)
}

pub(crate) fn deadline(text: &str) -> Result<Duration, Problem> {
    let deadline = humantime::parse_duration(text).ok().filter(|deadline| *deadline <= MAX_DEADLINE);
    deadline
        .ok_or_else(|| Problem::value(format!("the deadline {text:?} is no duration such as \"10m\", up to 400 days")))
}
