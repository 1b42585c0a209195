//! The status of the upstreams, as numbers and as JSON.

use crate::balancer::{BalancerObject, timestamp};
use crate::boundary::enter;
use crate::constants::*;
use crate::failure::Failure;
use crate::memory::{Blittable, Buffer, Out, text};
use crate::registry::{self, homing_handle};
use homing::cluster::{Decision, Member};
use homing::health::{State, UpstreamStatus};
use homing::time::Timestamp;
use serde_json::{Map, Value, json};

/// It serves, and takes new sessions.
pub const HOMING_STATE_ACTIVE: i32 = 0;
/// Slow start: it serves, and takes a growing share of new sessions.
pub const HOMING_STATE_WARMING: i32 = 1;
/// It says itself that it wants no new sessions.
pub const HOMING_STATE_FULL: i32 = 2;
/// It is ejected or silent: it serves its sessions, and takes no new ones for now.
pub const HOMING_STATE_SUSPECT: i32 = 3;
/// It is draining.
pub const HOMING_STATE_DRAINING: i32 = 4;
/// It is proven not to serve.
pub const HOMING_STATE_DOWN: i32 = 5;

/// The status of an upstream. Set size before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_upstream_status {
    /// sizeof(struct homing_upstream_status)
    pub size: usize,
    /// The generation that its index is of.
    pub generation: u64,
    /// Its id.
    pub id: u64,
    /// The number of requests so far.
    pub requests: u64,
    /// When it entered its state, in milliseconds since 1970; 0: at the start.
    pub since_ms: u64,
    /// The expected time until it responds, in microseconds; 0 where the policy does not use latencies.
    pub latency_us: u64,
    /// Its weight.
    pub weight: u32,
    /// Its limit of requests and tunnels in flight; 0: no limit.
    pub max_in_flight: u32,
    /// Requests and tunnels in flight.
    pub in_flight: u32,
    /// The estimated number of live sessions: those with a request within live_window_ms. One that only holds a
    /// WebSocket counts in in_flight, not here.
    pub live_sessions: u32,
    /// A HOMING_STATE_ number
    pub state: i32,
    /// Whether it takes new sessions: 0 or 1.
    pub accepting: i32,
    /// Whether it serves the sessions it has: 0 or 1.
    pub serving: i32,
    /// The incarnation of its process; 0: unknown.
    pub incarnation: u32,
    /// The number of requests by HOMING_DECISION_, with room for decisions of later versions.
    pub decided: [u64; 32],
}

// SAFETY: C's layout of numbers without padding, and its size comes first.
unsafe impl Blittable for homing_upstream_status {
    const FIRST: usize = size_of::<Self>();
}

pub(crate) fn number_of(state: State) -> i32 {
    match state {
        State::Active => HOMING_STATE_ACTIVE,
        State::SlowStart => HOMING_STATE_WARMING,
        State::Full => HOMING_STATE_FULL,
        State::Suspect => HOMING_STATE_SUSPECT,
        State::Draining => HOMING_STATE_DRAINING,
        State::Down => HOMING_STATE_DOWN,
        // One that this ABI has no number for yet.
        _ => -1,
    }
}

/// The status of the upstream at index, and its name, which is copied to name unless that is NULL (then name_cap is 0
/// and name_len NULL).
///
/// # Safety
/// status must point to a writable struct of the size it states, name must have name_cap writable bytes, and name_len
/// must point to a writable size_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_status(
    balancer: homing_handle,
    index: u32,
    now_ms: u64,
    status: *mut homing_upstream_status,
    name: *mut u8,
    name_cap: usize,
    name_len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let (out, name) = unsafe { (Out::sized("status", status)?, Buffer::wanted("name", name, name_cap, name_len)?) };
        registry::with("balancer", balancer, |object: &BalancerObject| {
            let view = object.balancer.view();
            let member = view.cluster().members().get(index as usize);
            let member = member.ok_or_else(|| Failure::Unknown(format!("at index {index}")))?;
            let upstream = member.upstream();
            if let Some(name) = &name {
                name.fill(upstream.name().as_bytes())?;
            }
            let known = object.balancer.status_of(upstream.id());
            let now = timestamp(now_ms);
            let mut decided = [0; 32];
            for decision in Decision::all() {
                decided[decision.index()] = upstream.decided(decision);
            }
            out.set(homing_upstream_status {
                size: out.size(),
                generation: view.generation().as_u64(),
                id: upstream.id().as_u64(),
                requests: upstream.total(),
                since_ms: known.as_ref().map_or(0, |known| known.since.as_millis()),
                latency_us: upstream.latency(now).map_or(0, |latency| latency.as_micros() as u64),
                weight: member.weight().into(),
                max_in_flight: member.max_in_flight(),
                in_flight: upstream.in_flight(),
                live_sessions: upstream.live_sessions(now),
                state: known.map_or(HOMING_STATE_ACTIVE, |known| number_of(known.state)),
                accepting: upstream.availability().accepting.into(),
                serving: upstream.availability().serving.into(),
                incarnation: upstream.incarnation().into(),
                decided,
            });
            Ok(HOMING_OK)
        })
    })
}

/// The id and the index of the upstream of this name.
///
/// # Safety
/// name must have name_len readable bytes, id must point to a writable uint64_t, and index to a writable uint32_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_find(
    balancer: homing_handle,
    name: *const u8,
    name_len: usize,
    id: *mut u64,
    index: *mut u32,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let (id, index, name) =
            unsafe { (Out::new("id", id)?, Out::new("index", index)?, text("name", name, name_len, HOMING_NAME_MAX)?) };
        registry::with("balancer", balancer, |object: &BalancerObject| {
            let view = object.balancer.view();
            let place = view.cluster().members().iter().position(|member| member.upstream().name() == name);
            let place = place.ok_or_else(|| Failure::Unknown(format!("{name:?}")))?;
            id.set(view.cluster().members()[place].upstream().id().as_u64());
            index.set(place as u32);
            Ok(HOMING_OK)
        })
    })
}

/// The status of all upstreams as JSON: an object with generation, panics and upstreams. upstreams is an array of
/// objects with the members of struct homing_upstream_status (state by name, decided as an object) and name, address
/// and cause.
///
/// # Safety
/// cap bytes must be writable at buf, and a size_t at len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_status_json(
    balancer: homing_handle,
    now_ms: u64,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Buffer::new("json", buf, cap, len) }?;
        registry::with("balancer", balancer, |object: &BalancerObject| {
            let view = object.balancer.view();
            let now = timestamp(now_ms);
            let describe = |member| describe(member, object.balancer.status_of(member.upstream().id()), now);
            let upstreams: Vec<Value> = view.cluster().members().iter().map(describe).collect();
            let text = json!({
                "generation": view.generation().as_u64(),
                "panics": object.balancer.panics(),
                "upstreams": upstreams,
            });
            out.fill(text.to_string().as_bytes()).map(|()| HOMING_OK)
        })
    })
}

fn describe(member: &Member, known: Option<UpstreamStatus>, now: Timestamp) -> Value {
    let upstream = member.upstream();
    let decided: Map<String, Value> = Decision::all()
        .map(|decision| (decision.as_str().to_owned(), upstream.decided(decision)))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name, count.into()))
        .collect();
    json!({
        "name": upstream.name(),
        "address": upstream.address(),
        "id": format!("{:016x}", upstream.id().as_u64()),
        "weight": member.weight(),
        "max_in_flight": member.max_in_flight(),
        "state": known.as_ref().map(|known| known.state.as_str()),
        "cause": known.as_ref().map(|known| known.cause.to_string()),
        "since_ms": known.map(|known| known.since.as_millis()),
        "accepting": upstream.availability().accepting,
        "serving": upstream.availability().serving,
        "incarnation": upstream.incarnation(),
        "in_flight": upstream.in_flight(),
        "live_sessions": upstream.live_sessions(now),
        "requests": upstream.total(),
        "latency_us": upstream.latency(now).map(|latency| latency.as_micros() as u64),
        "decided": decided,
    })
}
