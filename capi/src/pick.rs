//! Picks, and what becomes of them.

use crate::balancer::{Engine, generation};
use crate::boundary::enter;
use crate::health::{self, outcome_of};
use crate::leases;
use crate::memory::{Blittable, Buffer, Out};
use crate::registry::{self, homing_handle};
use crate::request::{Asked, homing_request};
use crate::status::*;
use homing::balancer::PickError;
use std::time::Duration;

/// Where a request goes. Set size before.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_pick_result {
    /// sizeof(struct homing_pick_result)
    pub size: usize,
    /// The request's place on its upstream. Give it to homing_finish() when the response, or the tunnel, has
    /// ended.
    pub lease: homing_handle,
    /// The generation that index is of.
    pub generation: u64,
    /// What the upstream is called by, for as long as its name stays.
    pub id: u64,
    /// The session's number, the same at each request of it, for logs and homing_departure(). Without
    /// affinity of this request alone.
    pub session: u64,
    /// With HOMING_LATER: when to pick again, in milliseconds since 1970. Sooner does no harm.
    pub retry_at_ms: u64,
    /// The upstream's index.
    pub index: u32,
    /// Why it goes there: HOMING_DECISION_.
    pub decision: i32,
    /// The length of token: HOMING_TOKEN_LEN, or 0 where the client keeps what it has.
    pub token_len: u32,
    /// 0
    pub reserved: u32,
    /// The token to send to the client.
    pub token: [u8; 56],
}

// SAFETY: C's layout of numbers without padding, and its size comes first.
unsafe impl Blittable for homing_pick_result {
    const FIRST: usize = size_of::<Self>();
}

/// Decides where a request goes, and takes a place there. This is all that most hosts need: it reads the
/// token out of the cookie header, verifies it, brings the session home or places it, and says which cookie
/// to set.
///
/// The upstream's name is copied to name, unless that is NULL (then name_cap is 0 and name_len NULL);
/// name_cap must be HOMING_NAME_MAX at least. The value for a Set-Cookie header is copied to set_cookie,
/// unless that is NULL likewise, with a length of 0 where none is due; set_cookie_cap must be what
/// homing_set_cookie_max() says at least. Both are looked at first: where they are too small nothing is
/// picked.
///
/// Returns HOMING_OK; HOMING_LATER, where nothing but size and retry_at_ms of the result means anything;
/// HOMING_ERR_UNAVAILABLE, HOMING_ERR_FULL and HOMING_ERR_REJECTED where nobody takes the request;
/// HOMING_ERR_GENERATION where eligible is of another one; HOMING_ERR_SYSTEM without randomness; or an error
/// of the arguments. Takes no lock that another thread would hold for long, and costs about half a
/// microsecond with a token.
///
/// # Safety
/// request and all that it points to must be readable, result must be a struct of its size, name and
/// set_cookie must take so many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_pick(
    balancer: homing_handle,
    request: *const homing_request,
    result: *mut homing_pick_result,
    name: *mut u8,
    name_cap: usize,
    name_len: *mut usize,
    set_cookie: *mut u8,
    set_cookie_cap: usize,
    set_cookie_len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (out, name, cookie) = unsafe {
            (
                Out::sized("result", result)?,
                Buffer::wanted("name", name, name_cap, name_len)?,
                Buffer::wanted("set_cookie", set_cookie, set_cookie_cap, set_cookie_len)?,
            )
        };
        registry::with("balancer", balancer, |engine: &Engine| {
            if let Some(name) = &name {
                name.reserve(HOMING_NAME_MAX)?;
            }
            if let Some(cookie) = &cookie {
                cookie.reserve(engine.set_cookie_max)?;
            }
            let view = engine.balancer.view();
            // SAFETY: as the host says.
            let asked = unsafe { Asked::read(request, engine, &view) }?;
            let mut picked = homing_pick_result {
                size: out.size(),
                lease: 0,
                generation: generation(&view),
                id: 0,
                session: 0,
                retry_at_ms: 0,
                index: HOMING_NO_INDEX,
                decision: HOMING_DECISION_NEW,
                token_len: 0,
                reserved: 0,
                token: [0; HOMING_TOKEN_LEN],
            };
            let pick = match view.pick(&asked.request()) {
                Ok(pick) => pick,
                Err(PickError::Later { at, .. }) => {
                    picked.retry_at_ms = at.as_millis();
                    out.set(picked);
                    for buffer in [&name, &cookie].into_iter().flatten() {
                        buffer.fill(&[])?;
                    }
                    return Ok(HOMING_LATER);
                }
                Err(refusal) => return Err(refusal.into()),
            };
            let index = view.cluster().index_of(pick.upstream().id()).ok_or(PickError::Unavailable)?;
            picked.id = pick.upstream().id().as_u64();
            picked.session = pick.session_id;
            picked.index = index as u32;
            picked.decision = pick.decision.index() as i32;
            let mut value = String::new();
            if let Some(token) = &pick.token {
                picked.token_len = HOMING_TOKEN_LEN as u32;
                picked.token.copy_from_slice(token.as_bytes());
                if cookie.is_some() {
                    value = engine.cookie.set_cookie(token.as_str(), asked.is_https());
                }
            }
            // The last thing that can fail: nothing is written before.
            picked.lease = leases::insert(pick.lease)?;
            out.set(picked);
            if let Some(name) = &name {
                name.fill(view.cluster().members()[index].upstream().name().as_bytes())?;
            }
            if let Some(cookie) = &cookie {
                cookie.fill(value.as_bytes())?;
            }
            Ok(HOMING_OK)
        })
    })
}

/// Ends a request's place on its upstream, and tells how it fared: outcome is HOMING_OUTCOME_, latency_us the
/// time from sending the request to the head of its response in microseconds, 0 where that is not known (with
/// HOMING_OUTCOME_TIMED_OUT, how long it waited). balancer is the one that gave the lease; with 0, or where
/// it was freed since, nothing is reported, and the lease ends all the same.
#[unsafe(no_mangle)]
pub extern "C" fn homing_finish(
    balancer: homing_handle,
    lease: homing_handle,
    outcome: i32,
    latency_us: u64,
    now_ms: u64,
) -> i32 {
    enter(|| {
        let latency = Duration::from_micros(latency_us);
        let outcome = outcome_of(outcome, latency)?;
        registry::optional("balancer", balancer, |engine: Option<&Engine>| {
            let lease = leases::take(lease)?;
            if let (Some(outcome), Some(engine)) = (outcome, engine) {
                health::tell(engine, lease.upstream(), outcome, latency, now_ms);
            }
            Ok(HOMING_OK)
        })
    })
}

/// Tells how a request fares whose lease goes on: at the head of its response, say, when the body is still to
/// come. Finish the lease with HOMING_OUTCOME_NONE then. Parameters are those of homing_finish().
#[unsafe(no_mangle)]
pub extern "C" fn homing_report(
    balancer: homing_handle,
    lease: homing_handle,
    outcome: i32,
    latency_us: u64,
    now_ms: u64,
) -> i32 {
    enter(|| {
        let latency = Duration::from_micros(latency_us);
        let outcome = outcome_of(outcome, latency)?;
        let upstream = leases::upstream(lease)?;
        registry::with("balancer", balancer, |engine: &Engine| {
            if let Some(outcome) = outcome {
                health::tell(engine, &upstream, outcome, latency, now_ms);
            }
            Ok(HOMING_OK)
        })
    })
}
