//! What hosts report of upstreams: outcomes and results of probes, time, and the orders of operators.

use crate::balancer::{BalancerObject, timestamp};
use crate::boundary::enter;
use crate::constants::*;
use crate::failure::Failure;
use crate::memory::{Out, switch};
use crate::registry::{self, homing_handle};
use homing::cluster::{Availability, Upstream};
use homing::health::{Outcome, ProbeResult};
use std::time::Duration;

/// No outcome to report: the client left, or the outcome was reported before.
pub const HOMING_OUTCOME_NONE: i32 = 0;
/// The upstream responded with a status below 500.
pub const HOMING_OUTCOME_ANSWERED: i32 = 1;
/// It responded with a status of 500 or above.
pub const HOMING_OUTCOME_SERVER_ERROR: i32 = 2;
/// The connection broke, or the response was not valid HTTP.
pub const HOMING_OUTCOME_BROKEN: i32 = 3;
/// No response began within the host's timeout.
pub const HOMING_OUTCOME_TIMED_OUT: i32 = 4;
/// The connection was refused. This is proof that the upstream is down: its sessions move.
pub const HOMING_OUTCOME_CONNECT_REFUSED: i32 = 5;
/// The connection was not established within the timeout.
pub const HOMING_OUTCOME_CONNECT_TIMED_OUT: i32 = 6;

/// The upstream serves, and takes new sessions.
pub const HOMING_PROBE_PASSED: i32 = 0;
/// It serves its sessions, and wants no new ones.
pub const HOMING_PROBE_FULL: i32 = 1;
/// It responded with a status that means neither.
pub const HOMING_PROBE_STATUS: i32 = 2;
/// The connection was refused.
pub const HOMING_PROBE_REFUSED: i32 = 3;
/// No response within the timeout, or the connection broke.
pub const HOMING_PROBE_TIMED_OUT: i32 = 4;

pub(crate) fn outcome_of(number: i32, after: Duration) -> Result<Option<Outcome>, Failure> {
    Ok(Some(match number {
        HOMING_OUTCOME_NONE => return Ok(None),
        HOMING_OUTCOME_ANSWERED => Outcome::Answered,
        HOMING_OUTCOME_SERVER_ERROR => Outcome::ServerError,
        HOMING_OUTCOME_BROKEN => Outcome::Broken,
        // An unknown time is no proof: it must not look like one that is longer than the silence threshold.
        HOMING_OUTCOME_TIMED_OUT if after.is_zero() => Outcome::TimedOut { after: Duration::MAX },
        HOMING_OUTCOME_TIMED_OUT => Outcome::TimedOut { after },
        HOMING_OUTCOME_CONNECT_REFUSED => Outcome::ConnectRefused,
        HOMING_OUTCOME_CONNECT_TIMED_OUT => Outcome::ConnectTimedOut,
        _ => return Err(Failure::value("outcome", format!("{number} is not a HOMING_OUTCOME_"))),
    }))
}

pub(crate) fn report_outcome(
    object: &BalancerObject,
    upstream: &Upstream,
    outcome: Outcome,
    latency: Duration,
    now_ms: u64,
) {
    let is_answer = matches!(outcome, Outcome::Answered | Outcome::ServerError);
    if is_answer && !latency.is_zero() && upstream.is_observed() {
        upstream.observe(latency, timestamp(now_ms));
    }
    object.balancer.report_at(upstream, outcome, || timestamp(now_ms));
}

/// Calls `f` with the balancer and the upstream of an id.
fn with(
    balancer: homing_handle,
    id: u64,
    f: impl FnOnce(&BalancerObject, &Upstream) -> Result<(), Failure>,
) -> Result<i32, Failure> {
    registry::with("balancer", balancer, |object: &BalancerObject| {
        f(object, &*object.upstream(id)?)?;
        Ok(HOMING_OK)
    })
}

/// Reports the result of a probe of an upstream: result is a HOMING_PROBE_ number, and http_status is the status,
/// with HOMING_PROBE_STATUS only. Probing is optional: upstreams are also judged by the outcomes of their requests.
#[unsafe(no_mangle)]
pub extern "C" fn homing_probe(balancer: homing_handle, id: u64, result: i32, http_status: u16, now_ms: u64) -> i32 {
    enter(|| {
        let result = match result {
            HOMING_PROBE_PASSED => ProbeResult::Passed,
            HOMING_PROBE_FULL => ProbeResult::Full,
            HOMING_PROBE_STATUS => ProbeResult::Status(http_status),
            HOMING_PROBE_REFUSED => ProbeResult::Refused,
            HOMING_PROBE_TIMED_OUT => ProbeResult::TimedOut,
            _ => return Err(Failure::value("result", format!("{result} is not a HOMING_PROBE_"))),
        };
        with(balancer, id, |object, upstream| {
            object.balancer.probe(upstream.id(), result, timestamp(now_ms));
            Ok(())
        })
    })
}

/// Advances the time: ejections and slow starts end, upstreams that respond to no request are detected, sessions are
/// rebalanced. The library has no thread, so call this about ten times a second, from any one thread. It looks at
/// every upstream.
#[unsafe(no_mangle)]
pub extern "C" fn homing_tick(balancer: homing_handle, now_ms: u64) -> i32 {
    enter(|| {
        registry::with("balancer", balancer, |object: &BalancerObject| {
            object.balancer.tick(timestamp(now_ms));
            Ok(HOMING_OK)
        })
    })
}

/// Drains an upstream: it takes no new sessions. Those it has stay until deadline_ms milliseconds have passed, and
/// then leave one by one, each at its own time; with HOMING_FOREVER they stay. An event says when the upstream is
/// drained.
#[unsafe(no_mangle)]
pub extern "C" fn homing_drain(balancer: homing_handle, id: u64, deadline_ms: u64, now_ms: u64) -> i32 {
    let deadline = (deadline_ms != HOMING_FOREVER).then(|| Duration::from_millis(deadline_ms));
    enter(|| {
        with(balancer, id, |object, upstream| {
            Ok(object.balancer.drain(upstream.name(), deadline, timestamp(now_ms))?)
        })
    })
}

/// Ends a drain: the upstream takes new sessions again, beginning with a slow start.
#[unsafe(no_mangle)]
pub extern "C" fn homing_resume(balancer: homing_handle, id: u64, now_ms: u64) -> i32 {
    enter(|| with(balancer, id, |object, upstream| Ok(object.balancer.resume(upstream.name(), timestamp(now_ms))?)))
}

/// The drain deadline of a session: when it has to leave its upstream. Hosts with WebSockets close them then.
/// HOMING_NOTHING where the upstream is not drained with a deadline. session is the session id from the pick.
///
/// # Safety
/// at_ms must point to a writable uint64_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_departure(balancer: homing_handle, id: u64, session: u64, at_ms: *mut u64) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Out::new("at_ms", at_ms) }?;
        registry::with("balancer", balancer, |object: &BalancerObject| {
            match object.upstream(id)?.drain_deadline(session) {
                Some(at) => {
                    out.set(at.as_millis());
                    Ok(HOMING_OK)
                }
                None => {
                    out.set(0);
                    Ok(HOMING_NOTHING)
                }
            }
        })
    })
}

/// Says which process is behind an upstream now: any number but 0 that stays the same for the life of the process and
/// is most likely different for the next one. Sessions of an earlier process have lost what it kept in memory;
/// decisions say so.
#[unsafe(no_mangle)]
pub extern "C" fn homing_set_incarnation(balancer: homing_handle, id: u64, incarnation: u16, now_ms: u64) -> i32 {
    enter(|| {
        if incarnation == 0 {
            return Err(Failure::value("incarnation", "is 0, which means unknown"));
        }
        with(balancer, id, |object, upstream| {
            object.balancer.set_incarnation(upstream, incarnation, timestamp(now_ms));
            Ok(())
        })
    })
}

/// Sets the availability of an upstream: whether it takes new sessions (accepting), and whether it serves those it
/// has (serving); each 0 or 1. For hosts with health checks of their own: they set silence_ms to HOMING_FOREVER, and
/// report no outcomes and no probes, because the library's own judgement would be applied as well.
#[unsafe(no_mangle)]
pub extern "C" fn homing_set_health(balancer: homing_handle, id: u64, accepting: i32, serving: i32) -> i32 {
    enter(|| {
        let availability =
            Availability { accepting: switch("accepting", accepting)?, serving: switch("serving", serving)? };
        with(balancer, id, |_, upstream| {
            upstream.set_availability(availability);
            Ok(())
        })
    })
}
