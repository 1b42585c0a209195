//! What a host says of a request, made into what the core asks.

use crate::balancer::{Engine, generation, moment};
use crate::failure::Failure;
use crate::memory::{Blittable, bytes, numbers, options};
use crate::status::*;
use homing::Request;
use homing::balancer::View;
use homing::cluster::{MAX_UPSTREAMS, UpstreamId};
use homing::http::cookie::{self, LegacyCookies, Tokens};
use std::net::IpAddr;

/// The request came over HTTPS, so that its cookie says Secure.
pub const HOMING_REQUEST_HTTPS: u32 = 1;
/// The host can pick again later, so that HOMING_LATER is an answer. Without it, a session that would have to
/// wait is moved.
pub const HOMING_REQUEST_CAN_WAIT: u32 = 2;

const FLAGS: u32 = HOMING_REQUEST_HTTPS | HOMING_REQUEST_CAN_WAIT;

/// A request that is to be placed. Set all of it to zero, then size, then what is known.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_request {
    /// sizeof(struct homing_request)
    pub size: usize,
    /// The time, in milliseconds since 1970; 0: the library looks.
    pub now_ms: u64,
    /// The generation that the indices of eligible are of; 0 where there are none.
    pub generation: u64,
    /// The client's address, 4 or 16 bytes in network order; none: unknown. IPv6 addresses that map IPv4 ones
    /// are those.
    pub client: *const u8,
    /// Its length: 4, 16 or 0.
    pub client_len: usize,
    /// What policies hash that go by a key, in place of the client's address.
    pub key: *const u8,
    /// Its length, at most HOMING_INPUT_MAX.
    pub key_len: usize,
    /// The value of the request's Cookie header, whole; several are joined by "; ".
    pub cookie: *const u8,
    /// Its length, at most HOMING_INPUT_MAX.
    pub cookie_len: usize,
    /// A token by itself, in place of a cookie.
    pub token: *const u8,
    /// Its length, at most HOMING_INPUT_MAX.
    pub token_len: usize,
    /// The ids of upstreams that have already failed this request. A session that is on one of them moves.
    pub tried: *const u64,
    /// How many there are, at most 10000.
    pub tried_len: usize,
    /// Which upstreams the host itself lets have it: bit i % 8 of byte i / 8 is that of index i, and what is
    /// beyond the end may not; none: all. A session that is on another one moves. Costs a look at all upstreams,
    /// and at those that may not for each that is considered: it is meant for few that may not.
    pub eligible: *const u8,
    /// Its length in bytes, at most 1250.
    pub eligible_len: usize,
    /// HOMING_REQUEST_ flags together.
    pub flags: u32,
    /// 0
    pub reserved: u32,
}

// SAFETY: C's layout of numbers and addresses without padding, and its size comes first.
unsafe impl Blittable for homing_request {
    const FIRST: usize = size_of::<Self>();
}

/// All that a request borrows.
pub(crate) struct Asked<'a> {
    raw: homing_request,
    tokens: Tokens<'a>,
    legacy_cookies: LegacyCookies<'a>,
    token: [&'a [u8]; 1],
    client: Option<IpAddr>,
    key: &'a [u8],
    ruled_out: Vec<UpstreamId>,
}

impl<'a> Asked<'a> {
    /// # Safety
    /// The host says that all that `request` points to can be read, and does not change until the call
    /// returns.
    pub(crate) unsafe fn read(
        request: *const homing_request,
        engine: &Engine,
        view: &View<'_>,
    ) -> Result<Self, Failure> {
        // SAFETY: as the caller says.
        let raw = unsafe { options("request", request) }?;
        if raw.reserved != 0 {
            return Err(Failure::value("request.reserved", "is not 0"));
        }
        if raw.flags & !FLAGS != 0 {
            return Err(Failure::value("request.flags", format!("has {:#x}, which means nothing", raw.flags & !FLAGS)));
        }
        // SAFETY: likewise, all of them.
        let (client, key, cookie, token) = unsafe {
            (
                bytes("request.client", raw.client, raw.client_len, 16)?,
                bytes("request.key", raw.key, raw.key_len, HOMING_INPUT_MAX)?,
                bytes("request.cookie", raw.cookie, raw.cookie_len, HOMING_INPUT_MAX)?,
                bytes("request.token", raw.token, raw.token_len, HOMING_INPUT_MAX)?,
            )
        };
        // SAFETY: likewise.
        let ruled_out = unsafe { ruled_out(&raw, view) }?;
        let (tokens, legacy_cookies) = match cookie {
            [] => Default::default(),
            cookie => {
                let tokens = cookie::tokens([cookie], engine.cookie.name());
                (tokens, cookie::legacy_cookies(|| [cookie], &engine.accepted))
            }
        };
        Ok(Self { raw, tokens, legacy_cookies, token: [token], client: address(client)?, key, ruled_out })
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let mut request = Request::new(moment(self.raw.now_ms)).tried(&self.ruled_out);
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

/// Those that may not have the request: few, as a rule.
///
/// # Safety
/// As for [`Asked::read`].
unsafe fn ruled_out(raw: &homing_request, view: &View<'_>) -> Result<Vec<UpstreamId>, Failure> {
    // SAFETY: as the caller says.
    let (tried, eligible) = unsafe {
        (
            numbers("request.tried", raw.tried, raw.tried_len, MAX_UPSTREAMS)?,
            bytes("request.eligible", raw.eligible, raw.eligible_len, MAX_UPSTREAMS.div_ceil(8))?,
        )
    };
    let mut ids: Vec<UpstreamId> = tried.iter().copied().map(UpstreamId::from_u64).collect();
    if !eligible.is_empty() {
        let current = generation(view);
        if raw.generation != current {
            return Err(Failure::Generation { asked: raw.generation, current });
        }
        let may = |index: usize| eligible.get(index / 8).is_some_and(|byte| byte & 1 << (index % 8) != 0);
        let members = view.cluster().members().iter().enumerate();
        ids.extend(members.filter(|(index, _)| !may(*index)).map(|(_, member)| member.upstream().id()));
    }
    Ok(ids)
}
