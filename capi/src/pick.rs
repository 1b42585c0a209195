//! Picks, and the end of their leases.

use crate::balancer::BalancerObject;
use crate::boundary::enter;
use crate::constants::*;
use crate::health::{self, outcome_of};
use crate::leases;
use crate::memory::{Blittable, Buffer, Out};
use crate::registry::{self, homing_handle};
use crate::request::{HostRequest, homing_request};
use homing::balancer::PickError;
use std::time::Duration;

/// Where a request goes. Set size before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_pick_result {
    /// sizeof(struct homing_pick_result)
    pub size: usize,
    /// The request's lease. Pass it to homing_finish() when the response, or the tunnel, has ended.
    pub lease: homing_handle,
    /// The generation that index is of.
    pub generation: u64,
    /// The upstream's id, which stays the same while its name does.
    pub id: u64,
    /// The session id, the same for each request of the session, for logs and homing_departure(). Without affinity
    /// each request has its own.
    pub session: u64,
    /// With HOMING_LATER: when to pick again, in milliseconds since 1970. Picking earlier does no harm.
    pub retry_at_ms: u64,
    /// The upstream's index.
    pub index: u32,
    /// Why the request goes there: a HOMING_DECISION_ number.
    pub decision: i32,
    /// The length of token: HOMING_TOKEN_LEN, or 0 where the client keeps its token.
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

/// Decides where a request goes, and takes a lease on that upstream. This is all that most hosts need: it reads the
/// token from the Cookie header, verifies it, picks the session's upstream or places the session, and says which
/// cookie to set.
///
/// The upstream's name is copied to name, unless that is NULL (then name_cap is 0 and name_len NULL); name_cap must
/// be at least HOMING_NAME_MAX. The value for a Set-Cookie header is copied to set_cookie, unless that is NULL in the
/// same way; its length is 0 where no cookie is due; set_cookie_cap must be at least what homing_set_cookie_max()
/// says. Both capacities are checked first: where one is too small, nothing is picked.
///
/// Returns HOMING_OK; HOMING_LATER, with which only size and retry_at_ms of the result are valid;
/// HOMING_ERR_UNAVAILABLE, HOMING_ERR_FULL or HOMING_ERR_REJECTED where no upstream can take the request;
/// HOMING_ERR_GENERATION where eligible is of another generation; HOMING_ERR_SYSTEM without random numbers; or an
/// error of the arguments. Takes no lock that another thread holds for long, and costs about half a microsecond with
/// a token.
///
/// # Safety
/// request and all that it points to must be readable, result must point to a writable struct of the size it states,
/// and name and set_cookie must have as many writable bytes as their capacities say.
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
        // SAFETY: by the host's guarantee, see above.
        let (out, name, cookie) = unsafe {
            (
                Out::sized("result", result)?,
                Buffer::wanted("name", name, name_cap, name_len)?,
                Buffer::wanted("set_cookie", set_cookie, set_cookie_cap, set_cookie_len)?,
            )
        };
        registry::with("balancer", balancer, |object: &BalancerObject| {
            if let Some(name) = &name {
                name.reserve(HOMING_NAME_MAX)?;
            }
            if let Some(cookie) = &cookie {
                cookie.reserve(object.set_cookie_max)?;
            }
            let view = object.balancer.view();
            // SAFETY: by the host's guarantee, see above.
            let asked = unsafe { HostRequest::read(request, object, &view) }?;
            let mut picked = homing_pick_result {
                size: out.size(),
                lease: 0,
                generation: view.generation().as_u64(),
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
                    value = object.cookie.set_cookie(token.as_str(), asked.is_https());
                }
            }
            // The last step that can fail: no output is written before it.
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

/// Ends a lease, and reports the outcome of its request: outcome is a HOMING_OUTCOME_ number, latency_us is the time
/// from sending the request to the head of its response in microseconds, 0 where it is unknown (with
/// HOMING_OUTCOME_TIMED_OUT, how long it waited). balancer is the one that gave the lease; with 0, or if it was freed
/// since, nothing is reported, and the lease ends all the same.
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
        registry::optional("balancer", balancer, |object: Option<&BalancerObject>| {
            let lease = leases::take(lease)?;
            if let (Some(outcome), Some(object)) = (outcome, object) {
                health::report_outcome(object, lease.upstream(), outcome, latency, now_ms);
            }
            Ok(HOMING_OK)
        })
    })
}

/// Reports the outcome of a request whose lease goes on: at the head of its response, for instance, while the body is
/// still to come. Finish the lease with HOMING_OUTCOME_NONE then. The parameters are those of homing_finish().
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
        registry::with("balancer", balancer, |object: &BalancerObject| {
            if let Some(outcome) = outcome {
                health::report_outcome(object, &upstream, outcome, latency, now_ms);
            }
            Ok(HOMING_OK)
        })
    })
}
