//! The state and counters of every upstream, as JSON.

use super::rfc3339::rfc3339;
use crate::admin::api::problem::Problem;
use crate::admin::context::AdminContext;
use crate::roster::{Initiator, Origin, RosterUpstream};
use homing::balancer::UnknownUpstream;
use homing::cluster::{Decision, Member};
use homing::health::{Cause, UpstreamStatus};
use homing::proxy::Traffic;
use homing::time::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

#[derive(Serialize)]
pub(crate) struct UpstreamsJson {
    generation: u64,
    now: String,
    /// Whether more upstreams look bad than may be ejected, so that none is.
    panic: bool,
    /// Requests that wait in the queue; `null` without a proxy.
    waiting: Option<usize>,
    upstreams: Vec<UpstreamJson>,
}

#[derive(Serialize)]
pub(crate) struct UpstreamJson {
    name: String,
    address: String,
    weight: u16,
    max_in_flight: u32,
    state: &'static str,
    cause: String,
    /// `null` where the state has not changed since the start.
    since: Option<String>,
    accepting: bool,
    serving: bool,
    /// `null` until a probe has shown it.
    incarnation: Option<u16>,
    in_flight: u32,
    live_sessions: u32,
    requests: u64,
    decisions: BTreeMap<&'static str, u64>,
    /// The counters of the proxy; `null` without one.
    traffic: Option<TrafficJson>,
    origin: &'static str,
    registration: Option<RegistrationJson>,
    report: Option<ReportJson>,
    drain: Option<DrainJson>,
}

/// How long a registration lasts.
#[derive(Serialize)]
struct RegistrationJson {
    ttl_seconds: f64,
    expires: String,
}

/// The last report of the instance.
#[derive(Serialize)]
struct ReportJson {
    at: String,
    sessions: Option<u64>,
    memory_bytes: Option<u64>,
    threads: Option<u64>,
    cpu: Option<f64>,
}

#[derive(Serialize)]
struct DrainJson {
    /// When its sessions begin to leave; `null`: they stay.
    deadline: Option<String>,
}

#[derive(Serialize)]
struct TrafficJson {
    tunnels: u64,
    received_bytes: u64,
    sent_bytes: u64,
    response_seconds: QuantilesJson,
}

/// Of the last minute or two, where they are sampled; `null` without responses.
#[derive(Serialize)]
struct QuantilesJson {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
}

pub(crate) fn all(context: &AdminContext) -> UpstreamsJson {
    let now = context.clock.now();
    let cluster = context.balancer.cluster();
    let statuses = context.balancer.status();
    let statuses: HashMap<&str, &UpstreamStatus> = statuses.iter().map(|status| (&*status.name, status)).collect();
    let with_status = |member: &Member| {
        // `None` for a member that another change has just removed.
        let status = statuses.get(member.upstream().name())?;
        Some(upstream(context, member, status, now))
    };
    UpstreamsJson {
        generation: context.balancer.generation().as_u64(),
        now: rfc3339(now),
        panic: context.balancer.panics(),
        waiting: context.proxy.as_ref().map(homing::proxy::Proxy::waiting),
        upstreams: cluster.members().iter().filter_map(with_status).collect(),
    }
}

pub(crate) fn one(context: &AdminContext, name: &str) -> Result<UpstreamJson, Problem> {
    let cluster = context.balancer.cluster();
    let found = cluster.find_name(name).and_then(|member| {
        let status = context.balancer.status_of(member.upstream().id())?;
        Some(upstream(context, member, &status, context.clock.now()))
    });
    found.ok_or_else(|| UnknownUpstream { name: name.to_owned() }.into())
}

fn upstream(context: &AdminContext, member: &Member, status: &UpstreamStatus, now: Timestamp) -> UpstreamJson {
    let upstream = member.upstream();
    // An upstream that was just put into the balancer without the roster.
    let unknown =
        RosterUpstream { origin: Origin::Configured, registration: None, report: None, drain: None, drained_by: None };
    let known = context.roster.upstream(upstream.name()).unwrap_or(unknown);
    UpstreamJson {
        name: upstream.name().to_owned(),
        address: upstream.address().to_owned(),
        weight: member.weight(),
        max_in_flight: member.max_in_flight(),
        state: status.state.as_str(),
        cause: match (status.cause, known.drained_by) {
            // To the balancer every drain is an operator's.
            (Cause::Operator, Some(Initiator::Instance)) => "it has deregistered itself".to_owned(),
            (Cause::Operator, Some(Initiator::Expiry)) => "no heartbeat for its TTL".to_owned(),
            (cause, _) => cause.to_string(),
        },
        since: (status.since > Timestamp::default()).then(|| rfc3339(status.since)),
        accepting: status.availability.accepting,
        serving: status.availability.serving,
        incarnation: Some(upstream.incarnation()).filter(|incarnation| *incarnation != 0),
        in_flight: upstream.in_flight(),
        live_sessions: upstream.live_sessions(now),
        requests: upstream.total(),
        decisions: Decision::all().map(|decision| (decision.as_str(), upstream.decided(decision))).collect(),
        traffic: context.proxy.as_ref().map(|proxy| {
            let total = proxy.traffic(upstream);
            TrafficJson::new(&total, &context.recent.of(upstream, &total))
        }),
        origin: known.origin.as_str(),
        registration: known.registration.map(|lasting| RegistrationJson {
            ttl_seconds: lasting.ttl.as_secs_f64(),
            expires: rfc3339(lasting.expires),
        }),
        report: known.report.map(|(report, at)| ReportJson {
            at: rfc3339(at),
            sessions: report.sessions,
            memory_bytes: report.memory_bytes,
            threads: report.threads,
            cpu: report.cpu,
        }),
        drain: known.drain.map(|drain| DrainJson { deadline: drain.until.map(rfc3339) }),
    }
}

impl TrafficJson {
    fn new(total: &Traffic, recent: &Traffic) -> Self {
        let quantile = |q| recent.response_quantile(q).map(|duration| duration.as_secs_f64());
        Self {
            tunnels: total.tunnels(),
            received_bytes: total.received_bytes(),
            sent_bytes: total.sent_bytes(),
            response_seconds: QuantilesJson { p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99) },
        }
    }
}
