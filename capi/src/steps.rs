//! The steps of a pick as single calls, for hosts that choose the upstream themselves; and what a pick would do.

use crate::balancer::{BalancerObject, timestamp};
use crate::boundary::enter;
use crate::constants::*;
use crate::failure::Failure;
use crate::leases;
use crate::memory::{Blittable, Buffer, Out};
use crate::registry::{self, homing_handle};
use crate::request::{HostRequest, homing_request};
use crate::version::decision_of;
use homing::cluster::UpstreamId;

/// What a request's token says. Set size before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_open_result {
    /// sizeof(struct homing_open_result)
    pub size: usize,
    /// The generation that index is of.
    pub generation: u64,
    /// The upstream that the token names; 0 without a valid token.
    pub id: u64,
    /// The session id; without a valid token a new one, for homing_lease() and homing_token_for().
    pub session: u64,
    /// The upstream's index, or HOMING_NO_INDEX where the cluster does not have it.
    pub index: u32,
    /// HOMING_DECISION_PINNED where the session goes there, HOMING_DECISION_NEW without a token; otherwise why it
    /// does not.
    pub decision: i32,
}

// SAFETY: C's layout of numbers without padding, and its size comes first.
unsafe impl Blittable for homing_open_result {
    const FIRST: usize = size_of::<Self>();
}

/// Reads and verifies the token of a request, and takes no lease. For hosts that choose the upstream themselves:
/// afterwards homing_lease() counts the request, and homing_token_for() says what to send to the client. Whether the
/// upstream has room is not checked, and the session is not rebalanced.
///
/// # Safety
/// request and all that it points to must be readable, and result must point to a writable struct of the size it
/// states.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_open(
    balancer: homing_handle,
    request: *const homing_request,
    result: *mut homing_open_result,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Out::sized("result", result) }?;
        registry::with("balancer", balancer, |object: &BalancerObject| {
            let view = object.balancer.view();
            // SAFETY: by the same guarantee.
            let asked = unsafe { HostRequest::read(request, object, &view) }?;
            let opened = view.open(&asked.request())?;
            let index = opened.upstream.and_then(|id| view.cluster().index_of(id));
            out.set(homing_open_result {
                size: out.size(),
                generation: view.generation().as_u64(),
                id: opened.upstream.map_or(0, UpstreamId::as_u64),
                session: opened.session_id,
                index: index.map_or(HOMING_NO_INDEX, |index| index as u32),
                decision: opened.decision.index() as i32,
            });
            Ok(HOMING_OK)
        })
    })
}

/// Takes a lease on an upstream that the host has chosen, so that policies, limits and statistics count the request.
/// homing_finish() ends it. session and decision are what homing_open() said; the session of a new one is any random
/// number.
///
/// # Safety
/// lease must point to a writable homing_handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_lease(
    balancer: homing_handle,
    id: u64,
    session: u64,
    decision: i32,
    now_ms: u64,
    lease: *mut homing_handle,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Out::new("lease", lease) }?;
        let decision = decision_of(decision)?;
        registry::with("balancer", balancer, |object: &BalancerObject| {
            let view = object.balancer.view();
            let member = view.cluster().find(UpstreamId::from_u64(id)).ok_or_else(|| Failure::unknown_id(id))?;
            let taken = view.lease(member.upstream().id(), session, decision, timestamp(now_ms))?;
            out.set(leases::insert(taken)?);
            Ok(HOMING_OK)
        })
    })
}

/// Gives the token to send to the client of a session that is now on the upstream of this id, and changes nothing.
/// HOMING_NOTHING, with a length of 0, where the request's token says the same already, or there is no affinity. The
/// session of the request's token goes on. Where there is no valid token, a session begins, with the number session,
/// which homing_open() gave.
///
/// # Safety
/// request and all that it points to must be readable, cap bytes (at least HOMING_TOKEN_LEN) must be writable at buf,
/// and a size_t at len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_token_for(
    balancer: homing_handle,
    id: u64,
    session: u64,
    request: *const homing_request,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Buffer::new("token", buf, cap, len) }?;
        out.reserve(HOMING_TOKEN_LEN)?;
        registry::with("balancer", balancer, |object: &BalancerObject| {
            let view = object.balancer.view();
            // SAFETY: by the same guarantee.
            let asked = unsafe { HostRequest::read(request, object, &view) }?;
            let member = view.cluster().find(UpstreamId::from_u64(id)).ok_or_else(|| Failure::unknown_id(id))?;
            let token = view.token_for(member.upstream(), session, &asked.request());
            out.fill(token.as_ref().map_or(&[], |token| token.as_bytes()))?;
            Ok(if token.is_some() { HOMING_OK } else { HOMING_NOTHING })
        })
    })
}

/// Explains, line by line as UTF-8 text for people, what homing_pick() would do with the request now, and why.
/// Changes nothing.
///
/// # Safety
/// request and all that it points to must be readable; cap bytes must be writable at buf, and a size_t at len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_explain(
    balancer: homing_handle,
    request: *const homing_request,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Buffer::new("text", buf, cap, len) }?;
        registry::with("balancer", balancer, |object: &BalancerObject| {
            let view = object.balancer.view();
            // SAFETY: by the same guarantee.
            let asked = unsafe { HostRequest::read(request, object, &view) }?;
            out.fill(view.explain(&asked.request()).to_string().as_bytes()).map(|()| HOMING_OK)
        })
    })
}
