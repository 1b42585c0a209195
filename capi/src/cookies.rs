//! The affinity cookie as header values, for hosts that send and strip it themselves.

use crate::balancer::BalancerObject;
use crate::boundary::enter;
use crate::constants::*;
use crate::failure::Failure;
use crate::memory::{Buffer, Out, bytes};
use crate::registry::{self, homing_handle};
use crate::request::HOMING_REQUEST_HTTPS;
use homing::http::cookie::{Stripped, strip};

/// Removes the affinity cookie from the value of a Cookie header, for the request to the upstream, which has no use
/// for it. If nothing is left, send no such header. The result is never longer than the input.
///
/// # Safety
/// cookie must have cookie_len readable bytes; cap bytes must be writable at buf, and a size_t at len.
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
        // SAFETY: by the host's guarantee, see above.
        let (out, header) =
            unsafe { (Buffer::new("value", buf, cap, len)?, bytes("cookie", cookie, cookie_len, HOMING_INPUT_MAX)?) };
        registry::with("balancer", balancer, |object: &BalancerObject| {
            match strip(header, object.cookie.name()) {
                Stripped::Unchanged => out.fill(header)?,
                Stripped::Empty => out.fill(&[])?,
                Stripped::Rest(rest) => out.fill(&rest)?,
            }
            Ok(HOMING_OK)
        })
    })
}

/// The value of the Set-Cookie header that sends a token to a client: name, token and attributes as configured. flags
/// is HOMING_REQUEST_HTTPS or 0.
///
/// # Safety
/// token must have token_len readable bytes; cap bytes must be writable at buf, and a size_t at len.
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
        // SAFETY: by the host's guarantee, see above.
        let (out, token) =
            unsafe { (Buffer::new("value", buf, cap, len)?, bytes("token", token, token_len, HOMING_INPUT_MAX)?) };
        let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let token = std::str::from_utf8(token).ok().filter(|token| token.len() == HOMING_TOKEN_LEN);
        let token = token.filter(|token| token.as_bytes().iter().all(is_base64url));
        let token = token.ok_or_else(|| Failure::value("token", "is no token of this library"))?;
        if flags & !HOMING_REQUEST_HTTPS != 0 {
            return Err(Failure::value("flags", format!("are {flags:#x}; use HOMING_REQUEST_HTTPS or 0")));
        }
        registry::with("balancer", balancer, |object: &BalancerObject| {
            let value = object.cookie.set_cookie(token, flags & HOMING_REQUEST_HTTPS != 0);
            out.fill(value.as_bytes()).map(|()| HOMING_OK)
        })
    })
}

/// The maximum length of a Set-Cookie value of this balancer, in bytes.
///
/// # Safety
/// len must point to a writable size_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_set_cookie_max(balancer: homing_handle, len: *mut usize) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Out::new("len", len) }?;
        registry::with("balancer", balancer, |object: &BalancerObject| {
            out.set(object.set_cookie_max);
            Ok(HOMING_OK)
        })
    })
}
