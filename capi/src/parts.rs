//! The parts of a pick, for hosts that choose, count or set cookies themselves.

use crate::balancer::{Engine, generation, moment, unknown};
use crate::boundary::enter;
use crate::failure::Failure;
use crate::leases;
use crate::memory::{Blittable, Buffer, Out, bytes};
use crate::registry::{self, homing_handle};
use crate::request::{Asked, HOMING_REQUEST_HTTPS, homing_request};
use crate::status::*;
use crate::version::decision_of;
use homing::cluster::UpstreamId;
use homing::http::cookie::{Stripped, strip};

/// What a request's token says. Set size before.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_open_result {
    /// sizeof(struct homing_open_result)
    pub size: usize,
    /// The generation that index is of.
    pub generation: u64,
    /// The upstream that the token names; 0 without a good token.
    pub id: u64,
    /// The session's number; without a good token a new one, for homing_lease() and homing_token_for().
    pub session: u64,
    /// The upstream's index, or HOMING_NO_INDEX where the cluster does not have it.
    pub index: u32,
    /// HOMING_DECISION_PINNED where the session goes there, HOMING_DECISION_NEW without a token; otherwise
    /// why it does not.
    pub decision: i32,
}

// SAFETY: C's layout of numbers without padding, and its size comes first.
unsafe impl Blittable for homing_open_result {
    const FIRST: usize = size_of::<Self>();
}

/// Reads and verifies the token of a request, and takes no place. For hosts that place sessions by
/// themselves; then homing_lease() counts the request and homing_token_for() says what to send to the client.
/// Whether the upstream has room, and rebalancing, are not looked at.
///
/// # Safety
/// request and all that it points to must be readable, and result be a struct of its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_open(
    balancer: homing_handle,
    request: *const homing_request,
    result: *mut homing_open_result,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Out::sized("result", result) }?;
        registry::with("balancer", balancer, |engine: &Engine| {
            let view = engine.balancer.view();
            // SAFETY: likewise.
            let asked = unsafe { Asked::read(request, engine, &view) }?;
            let opened = view.open(&asked.request())?;
            let index = opened.upstream.and_then(|id| view.cluster().index_of(id));
            out.set(homing_open_result {
                size: out.size(),
                generation: generation(&view),
                id: opened.upstream.map_or(0, UpstreamId::as_u64),
                session: opened.session_id,
                index: index.map_or(HOMING_NO_INDEX, |index| index as u32),
                decision: opened.decision.index() as i32,
            });
            Ok(HOMING_OK)
        })
    })
}

/// Takes a place on an upstream that the host has chosen itself, for homing_finish() to end: so policies,
/// limits and figures know of it. session and decision are what homing_open() said; the session of a new one
/// is any random number.
///
/// # Safety
/// lease must take a handle.
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
        // SAFETY: as the host says.
        let out = unsafe { Out::new("lease", lease) }?;
        let decision = decision_of(decision)?;
        registry::with("balancer", balancer, |engine: &Engine| {
            let view = engine.balancer.view();
            let member = view.cluster().find(UpstreamId::from_u64(id)).ok_or_else(|| unknown(id))?;
            let taken = view.lease(member, session, decision, moment(now_ms))?;
            out.set(leases::insert(taken)?);
            Ok(HOMING_OK)
        })
    })
}

/// Says which token to send to the client of a session that is now on the upstream of this id, and changes
/// nothing: HOMING_NOTHING, and a length of 0, where what the request carries says so already, or there is no
/// affinity. The session goes on that the request's token has; without a good one it begins now, under the number
/// that is given as session, which homing_open() said.
///
/// # Safety
/// request and all that it points to must be readable, buf must take cap bytes (at least HOMING_TOKEN_LEN), and len a
/// size.
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
        // SAFETY: as the host says.
        let out = unsafe { Buffer::new("token", buf, cap, len) }?;
        out.reserve(HOMING_TOKEN_LEN)?;
        registry::with("balancer", balancer, |engine: &Engine| {
            let view = engine.balancer.view();
            // SAFETY: likewise.
            let asked = unsafe { Asked::read(request, engine, &view) }?;
            let member = view.cluster().find(UpstreamId::from_u64(id)).ok_or_else(|| unknown(id))?;
            let token = view.token_for(member.upstream(), session, &asked.request());
            out.fill(token.as_ref().map_or(&[], |token| token.as_bytes()))?;
            Ok(if token.is_some() { HOMING_OK } else { HOMING_NOTHING })
        })
    })
}

/// Takes the cookie of affinity out of a Cookie header's value, for the request that goes on to the upstream, which has
/// no use for it. What is left may be nothing: then send no such header. It is never longer than what came.
///
/// # Safety
/// cookie must have cookie_len bytes, buf must take cap bytes, and len a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_strip_cookie(
    balancer: homing_handle,
    cookie: *const u8,
    cookie_len: usize,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (out, header) =
            unsafe { (Buffer::new("value", buf, cap, len)?, bytes("cookie", cookie, cookie_len, HOMING_INPUT_MAX)?) };
        registry::with("balancer", balancer, |engine: &Engine| {
            match strip(header, engine.cookie.name()) {
                Stripped::Unchanged => out.fill(header)?,
                Stripped::Empty => out.fill(&[])?,
                Stripped::Rest(rest) => out.fill(&rest)?,
            }
            Ok(HOMING_OK)
        })
    })
}

/// The value of the Set-Cookie header that gives a client a token: name, token and attributes as configured.
/// flags may have HOMING_REQUEST_HTTPS.
///
/// # Safety
/// token must have token_len bytes, buf must take cap bytes, and len a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_set_cookie(
    balancer: homing_handle,
    token: *const u8,
    token_len: usize,
    flags: u32,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (out, token) =
            unsafe { (Buffer::new("value", buf, cap, len)?, bytes("token", token, token_len, HOMING_INPUT_MAX)?) };
        let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let token = std::str::from_utf8(token).ok().filter(|token| token.len() == HOMING_TOKEN_LEN);
        let token = token.filter(|token| token.as_bytes().iter().all(is_base64url));
        let token = token.ok_or_else(|| Failure::value("token", "is no token of this library"))?;
        if flags & !HOMING_REQUEST_HTTPS != 0 {
            return Err(Failure::value("flags", format!("are {flags:#x}; use HOMING_REQUEST_HTTPS or 0")));
        }
        registry::with("balancer", balancer, |engine: &Engine| {
            let value = engine.cookie.set_cookie(token, flags & HOMING_REQUEST_HTTPS != 0);
            out.fill(value.as_bytes()).map(|()| HOMING_OK)
        })
    })
}

/// The greatest length of a Set-Cookie value of this balancer, in bytes.
///
/// # Safety
/// len must take a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_set_cookie_max(balancer: homing_handle, len: *mut usize) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Out::new("len", len) }?;
        registry::with("balancer", balancer, |engine: &Engine| {
            out.set(engine.set_cookie_max);
            Ok(HOMING_OK)
        })
    })
}

/// Says line by line, as UTF-8 text for people, what homing_pick() would do with the request now and why.
/// Changes nothing.
///
/// # Safety
/// request and all that it points to must be readable, buf must take cap bytes, and len a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_explain(
    balancer: homing_handle,
    request: *const homing_request,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Buffer::new("text", buf, cap, len) }?;
        registry::with("balancer", balancer, |engine: &Engine| {
            // SAFETY: likewise.
            let asked = unsafe { Asked::read(request, engine, &engine.balancer.view()) }?;
            out.fill(engine.balancer.explain(&asked.request()).to_string().as_bytes()).map(|()| HOMING_OK)
        })
    })
}
