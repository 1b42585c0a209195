//! Balancers: made of a configuration and a ring, asked by all threads.

use crate::boundary::enter;
use crate::config::Settings;
use crate::failure::Failure;
use crate::keyring::Ring;
use crate::log;
use crate::memory::{Buffer, Out};
use crate::registry::{self, homing_handle};
use crate::status::*;
use homing::affinity::AcceptedCookie;
use homing::balancer::View;
use homing::cluster::{Upstream, UpstreamId};
use homing::http::CookieSpec;
use homing::time::{Clock, SystemClock, Timestamp};
use homing::{Balancer, KeyRing};
use parking_lot::Mutex;
use std::sync::Arc;

pub(crate) struct Engine {
    /// Plans keep it beyond the handle.
    pub(crate) balancer: Arc<Balancer>,
    pub(crate) cookie: CookieSpec,
    /// Cookies of the proxy that was here before.
    pub(crate) accepted: Arc<[AcceptedCookie]>,
    /// The longest value of `Set-Cookie` that there can be.
    pub(crate) set_cookie_max: usize,
}

impl Engine {
    fn new(settings: Settings, ring: Option<KeyRing>) -> Result<Self, Failure> {
        let cookie = settings.engine.affinity.cookie_spec()?;
        let longest = "0".repeat(HOMING_TOKEN_LEN);
        let set_cookie_max = cookie.set_cookie(&longest, true).len();
        let balancer = Arc::new(settings.build(ring)?);
        let accepted = balancer.affinity().map_or_else(Arc::default, |affinity| Arc::clone(affinity.accepted()));
        Ok(Self { balancer, cookie, accepted, set_cookie_max })
    }

    /// The upstream of an id.
    pub(crate) fn upstream(&self, id: u64) -> Result<Arc<Upstream>, Failure> {
        let view = self.balancer.view();
        let member = view.cluster().find(UpstreamId::from_u64(id)).ok_or_else(|| unknown(id))?;
        Ok(Arc::clone(member.upstream()))
    }
}

pub(crate) fn unknown(id: u64) -> Failure {
    Failure::Unknown(format!("of the id {id:016x}"))
}

/// The moment of a call.
pub(crate) fn moment(now_ms: u64) -> Timestamp {
    match now_ms {
        0 => SystemClock.now(),
        _ => Timestamp::from_millis(now_ms),
    }
}

pub(crate) fn generation(view: &View<'_>) -> u64 {
    view.generation().as_u64()
}

/// Builds a balancer of a configuration, which may be used again. ring brings the keys of affinity. With 0 they
/// come from the file that the configuration's TOML names as affinity.keys, relative to the working directory and
/// created where absent; where it names none there is no affinity, and every request is placed by the policy. Free
/// the balancer with homing_balancer_free(). One is enough for all threads. After a fork the parent's and the
/// children's go separate ways, and leases that were in flight count in all of them; without affinity they also
/// draw the same lots, so such a host builds one in each process.
///
/// # Safety
/// balancer must take a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_balancer_new(
    config: homing_handle,
    ring: homing_handle,
    balancer: *mut homing_handle,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Out::new("balancer", balancer) }?;
        let given = match ring {
            0 => None,
            _ => Some(registry::with("ring", ring, Ring::keys)?),
        };
        let settings = registry::with("config", config, |settings: &Mutex<Settings>| Ok(settings.lock().clone()))?;
        out.set(registry::insert(Engine::new(settings, given)?)?);
        Ok(HOMING_OK)
    })
}

/// Frees a balancer. Leases, plans and streams of events that it gave stay good and are freed on their own.
#[unsafe(no_mangle)]
pub extern "C" fn homing_balancer_free(balancer: homing_handle) -> i32 {
    enter(|| registry::remove::<Engine>("balancer", balancer).map(|()| HOMING_OK))
}

/// Changes the keys, for rotation: the new ring is of the same pool and identity. Tokens change over at each client's
/// next request. The generation moves on, and indices stay what they were. HOMING_NOTHING where there is no affinity.
#[unsafe(no_mangle)]
pub extern "C" fn homing_balancer_set_keys(balancer: homing_handle, ring: homing_handle) -> i32 {
    enter(|| {
        let keys = registry::with("ring", ring, Ring::keys)?;
        let signer = keys.signer();
        let is_set = registry::with("balancer", balancer, |engine: &Engine| {
            engine.balancer.set_keys(keys)?;
            Ok(engine.balancer.affinity().is_some())
        })?;
        if !is_set {
            return Ok(HOMING_NOTHING);
        }
        log::info(&format!("the keys were changed: {signer} signs"));
        Ok(HOMING_OK)
    })
}

/// How many upstreams the cluster has, and its generation: upstreams are called by their index, below count,
/// for as long as the generation is the same.
///
/// # Safety
/// count must take a size, and generation a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_balancer_upstreams(
    balancer: homing_handle,
    count: *mut usize,
    generation: *mut u64,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (count, number) = unsafe { (Out::new("count", count)?, Out::new("generation", generation)?) };
        registry::with("balancer", balancer, |engine: &Engine| {
            let view = engine.balancer.view();
            count.set(view.cluster().len());
            number.set(self::generation(&view));
            Ok(HOMING_OK)
        })
    })
}

/// Where the upstream of this id is, as configured.
///
/// # Safety
/// buf must take cap bytes, and len a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_address(
    balancer: homing_handle,
    id: u64,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Buffer::new("address", buf, cap, len) }?;
        registry::with("balancer", balancer, |engine: &Engine| {
            out.fill(engine.upstream(id)?.address().as_bytes()).map(|()| HOMING_OK)
        })
    })
}
