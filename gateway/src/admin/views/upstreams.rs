//! What every upstream is and does, as JSON.

use crate::admin::api::problem::Problem;
use crate::admin::builder::AdminContext;
use crate::roster::{Initiator, Origin, UpstreamRecord};
use homing::balancer::UnknownUpstream;
use homing::cluster::{Decision, Member};
use homing::health::{Cause, UpstreamStatus};
use homing::proxy::Traffic;
use homing::time::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, UNIX_EPOCH};

#[derive(Serialize)]
pub(crate) struct UpstreamsJson {
    generation: u64,
    now: String,
    /// Whether so many look bad that it is not believed.
    panic: bool,
    /// Requests that wait for room; none where there is no adapter to count them.
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
    /// `null` where nothing has happened since the start.
    since: Option<String>,
    accepting: bool,
    serving: bool,
    /// `null` while it is unknown.
    incarnation: Option<u16>,
    in_flight: u32,
    live_sessions: u32,
    requests: u64,
    decisions: BTreeMap<&'static str, u64>,
    /// What the adapter has counted; `null` where there is none.
    traffic: Option<TrafficJson>,
    origin: &'static str,
    registration: Option<RegistrationJson>,
    report: Option<ReportJson>,
    drain: Option<DrainJson>,
}

/// How long it is believed to be there, where it says so itself.
#[derive(Serialize)]
struct RegistrationJson {
    ttl_seconds: f64,
    expires: String,
}

/// What it said of itself last.
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
    /// When the sessions it has begin to leave; `null`: they stay.
    deadline: Option<String>,
}

#[derive(Serialize)]
struct TrafficJson {
    tunnels: u64,
    received_bytes: u64,
    sent_bytes: u64,
    response_seconds: QuantilesJson,
}

/// Of the last minute or two, where somebody looks; `null` where nothing was answered.
#[derive(Serialize)]
struct QuantilesJson {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
}

pub(crate) fn all(shared: &AdminContext) -> UpstreamsJson {
    let now = shared.clock.now();
    let cluster = shared.balancer.cluster();
    let statuses = shared.balancer.status();
    let statuses: HashMap<&str, &UpstreamStatus> = statuses.iter().map(|status| (&*status.name, status)).collect();
    let with_status = |member: &Member| {
        // One that another change has just taken away has none.
        let status = statuses.get(member.upstream().name())?;
        Some(upstream(shared, member, status, now))
    };
    UpstreamsJson {
        generation: shared.balancer.generation().as_u64(),
        now: rfc3339(now),
        panic: shared.balancer.panics(),
        waiting: shared.proxy.as_ref().map(homing::proxy::Proxy::waiting),
        upstreams: cluster.members().iter().filter_map(with_status).collect(),
    }
}

pub(crate) fn one(shared: &AdminContext, name: &str) -> Result<UpstreamJson, Problem> {
    let cluster = shared.balancer.cluster();
    let found = cluster.find_name(name).and_then(|member| {
        let status = shared.balancer.status_of(member.upstream().id())?;
        Some(upstream(shared, member, &status, shared.clock.now()))
    });
    found.ok_or_else(|| UnknownUpstream { name: name.to_owned() }.into())
}

fn upstream(shared: &AdminContext, member: &Member, status: &UpstreamStatus, now: Timestamp) -> UpstreamJson {
    let upstream = member.upstream();
    // One that was put there past the roster, just now, is not known to it yet.
    let unknown =
        UpstreamRecord { origin: Origin::Configured, registration: None, report: None, drain: None, drained_by: None };
    let about = shared.roster.about(upstream.name()).unwrap_or(unknown);
    UpstreamJson {
        name: upstream.name().to_owned(),
        address: upstream.address().to_owned(),
        weight: member.weight(),
        max_in_flight: member.max_in_flight(),
        state: status.state.as_str(),
        cause: match (status.cause, about.drained_by) {
            // The balancer knows no other.
            (Cause::Operator, Some(Initiator::Instance)) => "it said goodbye".to_owned(),
            (Cause::Operator, Some(Initiator::Expiry)) => "it was not heard of for its TTL".to_owned(),
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
        traffic: shared.proxy.as_ref().map(|proxy| {
            let total = proxy.traffic(upstream);
            TrafficJson::new(&total, &shared.recent.of(upstream, &total))
        }),
        origin: about.origin.as_str(),
        registration: about.registration.map(|lasting| RegistrationJson {
            ttl_seconds: lasting.ttl.as_secs_f64(),
            expires: rfc3339(lasting.expires),
        }),
        report: about.report.map(|(report, at)| ReportJson {
            at: rfc3339(at),
            sessions: report.sessions,
            memory_bytes: report.memory_bytes,
            threads: report.threads,
            cpu: report.cpu,
        }),
        drain: about.drain.map(|drain| DrainJson { deadline: drain.until.map(rfc3339) }),
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

/// A moment as people and programs read it, up to the year 9999.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    const LAST: u64 = 253_402_300_799_999;
    let at = UNIX_EPOCH + Duration::from_millis(at.as_millis().min(LAST));
    humantime::format_rfc3339_millis(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_by_rfc_3339() {
        assert_eq!(rfc3339(Timestamp::from_millis(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp::from_millis(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }
}
