//! What hosts tell of upstreams: outcomes, probes, time, and what an operator wants.

use crate::balancer::{Engine, moment};
use crate::boundary::enter;
use crate::failure::Failure;
use crate::memory::{Out, switch};
use crate::registry::{self, homing_handle};
use crate::status::*;
use homing::cluster::{Availability, Upstream};
use homing::health::{Outcome, ProbeResult};
use std::time::Duration;

/// Nothing is to be reported: the client left, or it was reported before.
pub const HOMING_OUTCOME_NONE: i32 = 0;
/// The upstream answered, with a status below 500.
pub const HOMING_OUTCOME_ANSWERED: i32 = 1;
/// It answered with a status of 500 or above.
pub const HOMING_OUTCOME_SERVER_ERROR: i32 = 2;
/// The connection broke off, or what came was no HTTP.
pub const HOMING_OUTCOME_BROKEN: i32 = 3;
/// No response began within the host's deadline.
pub const HOMING_OUTCOME_TIMED_OUT: i32 = 4;
/// Nobody listens there. This is proof: its sessions move.
pub const HOMING_OUTCOME_CONNECT_REFUSED: i32 = 5;
/// The connection was not made in time.
pub const HOMING_OUTCOME_CONNECT_TIMED_OUT: i32 = 6;

/// It serves and takes new sessions.
pub const HOMING_PROBE_PASSED: i32 = 0;
/// It serves those it has and wants no new ones.
pub const HOMING_PROBE_FULL: i32 = 1;
/// It answered with a status that is neither.
pub const HOMING_PROBE_STATUS: i32 = 2;
/// Nobody listens there.
pub const HOMING_PROBE_REFUSED: i32 = 3;
/// No answer in time, or the connection broke off.
pub const HOMING_PROBE_TIMED_OUT: i32 = 4;

pub(crate) fn outcome_of(number: i32, after: Duration) -> Result<Option<Outcome>, Failure> {
    Ok(Some(match number {
        HOMING_OUTCOME_NONE => return Ok(None),
        HOMING_OUTCOME_ANSWERED => Outcome::Answered,
        HOMING_OUTCOME_SERVER_ERROR => Outcome::ServerError,
        HOMING_OUTCOME_BROKEN => Outcome::Broken,
        // A wait of unknown length proves nothing: it must not pass for one that is longer than any silence.
        HOMING_OUTCOME_TIMED_OUT if after.is_zero() => Outcome::TimedOut { after: Duration::MAX },
        HOMING_OUTCOME_TIMED_OUT => Outcome::TimedOut { after },
        HOMING_OUTCOME_CONNECT_REFUSED => Outcome::ConnectRefused,
        HOMING_OUTCOME_CONNECT_TIMED_OUT => Outcome::ConnectTimedOut,
        _ => return Err(Failure::value("outcome", format!("{number} is no HOMING_OUTCOME_"))),
    }))
}

pub(crate) fn tell(engine: &Engine, upstream: &Upstream, outcome: Outcome, latency: Duration, now_ms: u64) {
    let is_answer = matches!(outcome, Outcome::Answered | Outcome::ServerError);
    if is_answer && !latency.is_zero() && upstream.is_observed() {
        upstream.observe(latency, moment(now_ms));
    }
    engine.balancer.report_at(upstream, outcome, || moment(now_ms));
}

/// Does something with the upstream of an id.
fn with(
    balancer: homing_handle,
    id: u64,
    what: impl FnOnce(&Engine, &Upstream) -> Result<(), Failure>,
) -> Result<i32, Failure> {
    registry::with("balancer", balancer, |engine: &Engine| {
        what(engine, &*engine.upstream(id)?)?;
        Ok(HOMING_OK)
    })
}

/// Tells how a probe of an upstream fared: result is HOMING_PROBE_, and http_status the status with
/// HOMING_PROBE_STATUS. Probing is optional: upstreams are judged by their requests too.
#[unsafe(no_mangle)]
pub extern "C" fn homing_probe(balancer: homing_handle, id: u64, result: i32, http_status: u16, now_ms: u64) -> i32 {
    enter(|| {
        let result = match result {
            HOMING_PROBE_PASSED => ProbeResult::Passed,
            HOMING_PROBE_FULL => ProbeResult::Full,
            HOMING_PROBE_STATUS => ProbeResult::Status(http_status),
            HOMING_PROBE_REFUSED => ProbeResult::Refused,
            HOMING_PROBE_TIMED_OUT => ProbeResult::TimedOut,
            _ => return Err(Failure::value("result", format!("{result} is no HOMING_PROBE_"))),
        };
        with(balancer, id, |engine, upstream| {
            engine.balancer.probe(upstream.id(), result, moment(now_ms));
            Ok(())
        })
    })
}

/// Lets time pass: upstreams that were out return, slow starts end, silence is noticed, sessions are
/// rebalanced. Call it some ten times a second, from any one thread; the library has none of its own. It
/// looks at every upstream.
#[unsafe(no_mangle)]
pub extern "C" fn homing_tick(balancer: homing_handle, now_ms: u64) -> i32 {
    enter(|| {
        registry::with("balancer", balancer, |engine: &Engine| {
            engine.balancer.tick(moment(now_ms));
            Ok(HOMING_OK)
        })
    })
}

/// Lets an upstream take no new sessions. Those it has stay; where deadline_ms is not HOMING_FOREVER they
/// leave after so many milliseconds, each at a moment of its own. An event says when it is drained.
#[unsafe(no_mangle)]
pub extern "C" fn homing_drain(balancer: homing_handle, id: u64, deadline_ms: u64, now_ms: u64) -> i32 {
    let deadline = (deadline_ms != HOMING_FOREVER).then(|| Duration::from_millis(deadline_ms));
    enter(|| {
        with(balancer, id, |engine, upstream| Ok(engine.balancer.drain(upstream.name(), deadline, moment(now_ms))?))
    })
}

/// Ends a drain: the upstream takes sessions again, slowly at first.
#[unsafe(no_mangle)]
pub extern "C" fn homing_resume(balancer: homing_handle, id: u64, now_ms: u64) -> i32 {
    enter(|| with(balancer, id, |engine, upstream| Ok(engine.balancer.resume(upstream.name(), moment(now_ms))?)))
}

/// When a session has to leave its upstream, which is drained with a deadline: for hosts with WebSockets,
/// which close them then. HOMING_NOTHING where it may stay. session is what the pick said.
///
/// # Safety
/// at_ms must take a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_departure(balancer: homing_handle, id: u64, session: u64, at_ms: *mut u64) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Out::new("at_ms", at_ms) }?;
        registry::with("balancer", balancer, |engine: &Engine| match engine.upstream(id)?.drain_deadline(session) {
            Some(at) => {
                out.set(at.as_millis());
                Ok(HOMING_OK)
            }
            None => {
                out.set(0);
                Ok(HOMING_NOTHING)
            }
        })
    })
}

/// Says which process is behind an upstream now: any number but 0 that is constant for the process' life and
/// most likely another for the next. Sessions of an earlier one have lost what it kept in memory; the
/// decision says so.
#[unsafe(no_mangle)]
pub extern "C" fn homing_set_incarnation(balancer: homing_handle, id: u64, incarnation: u16, now_ms: u64) -> i32 {
    enter(|| {
        if incarnation == 0 {
            return Err(Failure::value("incarnation", "is 0, which stands for an unknown one"));
        }
        with(balancer, id, |engine, upstream| {
            engine.balancer.set_incarnation(upstream, incarnation, moment(now_ms));
            Ok(())
        })
    })
}

/// Sets the two verdicts on an upstream: whether it takes new sessions, and whether it serves those it has; each 0
/// or 1. For hosts that judge by themselves: they configure silence_ms as HOMING_FOREVER, and report no outcomes
/// and no probes, or the library's own verdict comes on top.
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
