//! A request as the host describes it, and as the library reads it.

use crate::balancer::{BalancerObject, timestamp};
use crate::constants::*;
use crate::failure::Failure;
use crate::memory::{Blittable, bytes, numbers, options};
use homing::Request;
use homing::balancer::View;
use homing::cluster::{MAX_UPSTREAMS, UpstreamId};
use homing::http::cookie::{self, LegacyCookies, Tokens};
use std::net::IpAddr;

/// The request came over HTTPS, so its cookie has the attribute Secure.
pub const HOMING_REQUEST_HTTPS: u32 = 1;
/// The host can pick again later, so HOMING_LATER is a possible result. Without this flag, a session that would have
/// to wait moves.
pub const HOMING_REQUEST_CAN_WAIT: u32 = 2;

const FLAGS: u32 = HOMING_REQUEST_HTTPS | HOMING_REQUEST_CAN_WAIT;

/// A request to pick an upstream for. Set all of it to zero, then size, then what is known.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_request {
    /// sizeof(struct homing_request)
    pub size: usize,
    /// The time, in milliseconds since 1970; 0: the time of the system clock.
    pub now_ms: u64,
    /// The generation that the indices in eligible are of; 0 where there are none.
    pub generation: u64,
    /// The client's address, 4 or 16 bytes in network order; none: unknown. An IPv4-mapped IPv6 address is treated as
    /// the IPv4 address.
    pub client: *const u8,
    /// The length of client: 4, 16 or 0.
    pub client_len: usize,
    /// The key that hash policies hash, instead of the client's address.
    pub key: *const u8,
    /// The length of key, at most HOMING_INPUT_MAX.
    pub key_len: usize,
    /// The complete value of the request's Cookie header; several headers are joined by "; ".
    pub cookie: *const u8,
    /// The length of cookie, at most HOMING_INPUT_MAX.
    pub cookie_len: usize,
    /// A token that did not come in a cookie. It is used instead of those in cookie.
    pub token: *const u8,
    /// The length of token, at most HOMING_INPUT_MAX.
    pub token_len: usize,
    /// The ids of upstreams to which this request was sent and failed. A session on one of them moves.
    pub tried: *const u64,
    /// The number of ids in tried, at most 10000.
    pub tried_len: usize,
    /// The upstreams that the host allows for this request: bit i % 8 of byte i / 8 stands for index i, and indices
    /// beyond the end are not allowed; none: all are. A session on another one moves. Costs a look at all upstreams,
    /// and for each candidate one at those that are not allowed, so it is meant to exclude few.
    pub eligible: *const u8,
    /// The length of eligible in bytes, at most 1250.
    pub eligible_len: usize,
    /// HOMING_REQUEST_ flags, combined by |.
    pub flags: u32,
    /// 0
    pub reserved: u32,
}

// SAFETY: C's layout of numbers and addresses without padding, and its size comes first.
unsafe impl Blittable for homing_request {
    const FIRST: usize = size_of::<Self>();
}

/// A request of the host, with all that it borrows.
pub(crate) struct HostRequest<'a> {
    raw: homing_request,
    tokens: Tokens<'a>,
    legacy_cookies: LegacyCookies<'a>,
    token: [&'a [u8]; 1],
    client: Option<IpAddr>,
    key: &'a [u8],
    ruled_out: Vec<UpstreamId>,
}

impl<'a> HostRequest<'a> {
    /// The request as the library reads it.
    ///
    /// # Safety
    /// The host guarantees that all that `request` points to can be read, and does not change until the call returns.
    pub(crate) unsafe fn read(
        request: *const homing_request,
        object: &BalancerObject,
        view: &View<'_>,
    ) -> Result<Self, Failure> {
        // SAFETY: by the caller's guarantee.
        let raw = unsafe { options("request", request) }?;
        if raw.reserved != 0 {
            return Err(Failure::value("request.reserved", "is not 0"));
        }
        if raw.flags & !FLAGS != 0 {
            return Err(Failure::value("request.flags", format!("has {:#x}, which is no flag", raw.flags & !FLAGS)));
        }
        // SAFETY: by the same guarantee, for each of them.
        let (client, key, cookie, token) = unsafe {
            (
                bytes("request.client", raw.client, raw.client_len, 16)?,
                bytes("request.key", raw.key, raw.key_len, HOMING_INPUT_MAX)?,
                bytes("request.cookie", raw.cookie, raw.cookie_len, HOMING_INPUT_MAX)?,
                bytes("request.token", raw.token, raw.token_len, HOMING_INPUT_MAX)?,
            )
        };
        // SAFETY: by the same guarantee.
        let ruled_out = unsafe { ruled_out(&raw, view) }?;
        let (tokens, legacy_cookies) = match cookie {
            [] => Default::default(),
            cookie => {
                let tokens = cookie::tokens([cookie], object.cookie.name());
                (tokens, cookie::legacy_cookies(|| [cookie], &object.accepted))
            }
        };
        Ok(Self { raw, tokens, legacy_cookies, token: [token], client: address(client)?, key, ruled_out })
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let mut request = Request::new(timestamp(self.raw.now_ms)).tried(&self.ruled_out);
        request.tokens = match self.token {
            [[]] => &self.tokens,
            _ => &self.token,
        };
        request.legacy_cookies = &self.legacy_cookies;
        request.client = self.client;
        request.key = (!self.key.is_empty()).then_some(self.key);
        request.no_wait = self.raw.flags & HOMING_REQUEST_CAN_WAIT == 0;
        request
    }

    pub(crate) fn is_https(&self) -> bool {
        self.raw.flags & HOMING_REQUEST_HTTPS != 0
    }
}

fn address(bytes: &[u8]) -> Result<Option<IpAddr>, Failure> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let either = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|v6| IpAddr::from(v6).to_canonical()));
    either.map(Some).map_err(|_| Failure::value("request.client", format!("has {} bytes; use 4 or 16", bytes.len())))
}

/// The upstreams that must not get the request: few, as a rule.
///
/// # Safety
/// As for [`HostRequest::read`].
unsafe fn ruled_out(raw: &homing_request, view: &View<'_>) -> Result<Vec<UpstreamId>, Failure> {
    // SAFETY: by the caller's guarantee.
    let (tried, eligible) = unsafe {
        (
            numbers("request.tried", raw.tried, raw.tried_len, MAX_UPSTREAMS)?,
            bytes("request.eligible", raw.eligible, raw.eligible_len, MAX_UPSTREAMS.div_ceil(8))?,
        )
    };
    let mut ids: Vec<UpstreamId> = tried.iter().copied().map(UpstreamId::from_u64).collect();
    if !eligible.is_empty() {
        let current = view.generation().as_u64();
        if raw.generation != current {
            return Err(Failure::Generation { asked: raw.generation, current });
        }
        let may = |index: usize| eligible.get(index / 8).is_some_and(|byte| byte & 1 << (index % 8) != 0);
        let members = view.cluster().members().iter().enumerate();
        ids.extend(members.filter(|(index, _)| !may(*index)).map(|(_, member)| member.upstream().id()));
    }
    Ok(ids)
}
