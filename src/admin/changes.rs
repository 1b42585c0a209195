//! What changes the cluster: planned, explained, applied, drained, resumed.

use super::body::AdminBody;
use super::builder::Shared;
use super::problem::Problem;
use super::{audit, reply, upstreams};
use crate::balancer::Capacity;
use crate::cluster::{ApplyError, Change, Effect, Generation, Plan, UpstreamConfig};
use crate::http::is_host_port;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// How often a change of one upstream is planned again because another change came between.
const TRIES: usize = 16;

/// The longest deadline, as in configuration files: what is longer is surely a mistake.
const MAX_DEADLINE: Duration = Duration::from_hours(400 * 24);

type Answer = Result<Response<AdminBody>, Problem>;

/// What stands in a body that says nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// An upstream as it is to be. What is left out has its default, not what it had before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    address: String,
    #[serde(default = "one")]
    weight: u16,
    #[serde(default)]
    max_in_flight: u32,
}

fn one() -> u16 {
    1
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Wish {
    Put(Named),
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
pub(super) struct Planned {
    changes: Vec<Wish>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    generation: u64,
    changes: Vec<Wish>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draining {
    #[serde(default)]
    deadline: Option<String>,
}

/// What was done.
#[derive(Serialize)]
struct Done {
    from_generation: u64,
    generation: u64,
    effects: Vec<Seen>,
}

/// What one upstream sees of a change.
#[derive(Serialize)]
struct Seen {
    upstream: String,
    effect: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Explained {
    generation: u64,
    effects: Vec<Seen>,
    moved_keys: Option<f64>,
    broken_sessions: u64,
    before: Takes,
    after: Takes,
    explanation: Vec<String>,
}

#[derive(Serialize)]
struct Takes {
    upstreams: usize,
    accepting: usize,
    weight: u64,
    max_in_flight: Option<u64>,
}

impl From<Capacity> for Takes {
    fn from(capacity: Capacity) -> Self {
        let Capacity { upstreams, accepting, weight, max_in_flight } = capacity;
        Self { upstreams, accepting, weight, max_in_flight }
    }
}

fn seen(effects: &[Effect]) -> Vec<Seen> {
    let one = |effect: &Effect| {
        let (upstream, kind) = match effect {
            Effect::Added(name) => (name, "added"),
            Effect::Removed { name, .. } => (name, "removed"),
            Effect::Changed(name) => (name, "changed"),
        };
        Seen { upstream: upstream.clone(), effect: kind, text: effect.to_string() }
    };
    effects.iter().map(one).collect()
}

fn config(name: String, Spec { address, weight, max_in_flight }: Spec) -> Result<UpstreamConfig, Problem> {
    match is_host_port(&address) {
        true => Ok(UpstreamConfig::new(name, address).weight(weight).max_in_flight(max_in_flight)),
        false => Err(Problem::value(format!(
            "the address {address:?} of {name:?} is refused: use host:port such as \"10.0.0.1:8080\" or \"[::1]:8080\""
        ))),
    }
}

fn wishes(wishes: Vec<Wish>) -> Result<Vec<Change>, Problem> {
    let change = |wish| match wish {
        Wish::Put(Named { name, address, weight, max_in_flight }) => {
            config(name, Spec { address, weight, max_in_flight }).map(Change::Put)
        }
        Wish::Remove(name) => Ok(Change::Remove(name)),
    };
    wishes.into_iter().map(change).collect()
}

pub(super) fn put(shared: &Shared, peer: SocketAddr, name: &str, spec: Spec) -> Answer {
    change_one(shared, peer, "put", &[Change::Put(config(name.to_owned(), spec)?)])
}

pub(super) fn remove(shared: &Shared, peer: SocketAddr, name: &str) -> Answer {
    change_one(shared, peer, "remove", &[Change::Remove(name.to_owned())])
}

/// Changes one upstream, whatever else changes meanwhile.
fn change_one(shared: &Shared, peer: SocketAddr, action: &str, changes: &[Change]) -> Answer {
    let mut tries = 0;
    loop {
        tries += 1;
        match commit(shared, peer, action, shared.balancer.plan(changes)?) {
            Err(ApplyError::Stale { .. }) if tries < TRIES => {}
            Err(error) => return Err(error.into()),
            Ok(done) => {
                let is_new = done.effects.iter().any(|seen| seen.effect == "added");
                return reply::json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &done);
            }
        }
    }
}

pub(super) fn apply(shared: &Shared, peer: SocketAddr, expected: Expected) -> Answer {
    let planned = Generation(expected.generation);
    let is_planned = |current: Generation| match current == planned {
        true => Ok(()),
        false => Err(ApplyError::Stale { planned, current }),
    };
    // First, since what was planned may make no sense any more.
    is_planned(shared.balancer.generation())?;
    let plan = shared.balancer.plan(&wishes(expected.changes)?)?;
    is_planned(plan.base())?;
    reply::json(StatusCode::OK, &commit(shared, peer, "apply", plan)?)
}

/// Applies a plan, and tells those who watch. One without effect makes no generation.
fn commit(shared: &Shared, peer: SocketAddr, action: &str, plan: Plan) -> Result<Done, ApplyError> {
    let (from, effects) = (plan.base(), seen(plan.effects()));
    if effects.is_empty() {
        return Ok(Done { from_generation: from.as_u64(), generation: from.as_u64(), effects });
    }
    let to = shared.balancer.apply(plan)?;
    let texts: Vec<&str> = effects.iter().map(|seen| &*seen.text).collect();
    let text = texts.join("; ");
    audit::done(peer, action, &text, from, to);
    shared.feed.changed(shared.clock.now(), "applied", None, to, &text);
    Ok(Done { from_generation: from.as_u64(), generation: to.as_u64(), effects })
}

pub(super) fn plan(shared: &Shared, planned: Planned) -> Answer {
    let changes = wishes(planned.changes)?;
    let plan = shared.balancer.plan(&changes)?;
    let forecast = shared.balancer.forecast(&plan, shared.clock.now())?;
    let explained = Explained {
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

pub(super) fn drain(shared: &Shared, peer: SocketAddr, name: &str, draining: Draining) -> Answer {
    let deadline = draining.deadline.as_deref().map(deadline).transpose()?;
    shared.balancer.drain(name, deadline, shared.clock.now())?;
    let text = match deadline {
        Some(deadline) => format!("{name}: drain within {}", humantime::format_duration(deadline)),
        None => format!("{name}: drain without a deadline"),
    };
    ordered(shared, peer, "drain", name, &text)
}

pub(super) fn resume(shared: &Shared, peer: SocketAddr, name: &str) -> Answer {
    shared.balancer.resume(name, shared.clock.now())?;
    ordered(shared, peer, "resume", name, &format!("{name}: resume"))
}

/// What changes an upstream's state and no generation.
fn ordered(shared: &Shared, peer: SocketAddr, action: &'static str, name: &str, text: &str) -> Answer {
    let generation = shared.balancer.generation();
    audit::done(peer, action, text, generation, generation);
    shared.feed.changed(shared.clock.now(), action, Some(name), generation, text);
    reply::json(StatusCode::OK, &upstreams::one(shared, name)?)
}

fn deadline(text: &str) -> Result<Duration, Problem> {
    let deadline = humantime::parse_duration(text).ok().filter(|deadline| *deadline <= MAX_DEADLINE);
    deadline
        .ok_or_else(|| Problem::value(format!("the deadline {text:?} is no duration such as \"10m\", up to 400 days")))
}
