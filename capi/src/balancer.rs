//! Balancers: built from a configuration and a key ring, shared by all threads.

use crate::boundary::enter;
use crate::config::ConfigObject;
use crate::constants::*;
use crate::failure::Failure;
use crate::keyring::KeyRingObject;
use crate::memory::{Buffer, Out};
use crate::registry::{self, Handled, Kind, Table, homing_handle};
use crate::sink;
use homing::affinity::AcceptedCookie;
use homing::cluster::{Upstream, UpstreamId};
use homing::http::CookieSpec;
use homing::time::{Clock, SystemClock, Timestamp};
use homing::{Balancer, KeyRing};
use parking_lot::Mutex;
use std::sync::Arc;

pub(crate) struct BalancerObject {
    /// Shared with plans, which outlive the handle.
    pub(crate) balancer: Arc<Balancer>,
    pub(crate) cookie: CookieSpec,
    /// The legacy cookies that are read.
    pub(crate) accepted: Arc<[AcceptedCookie]>,
    /// The maximum length of a `Set-Cookie` value.
    pub(crate) set_cookie_max: usize,
}

impl Handled for BalancerObject {
    const NAME: &'static str = "balancer";

    fn table() -> &'static Table<Self> {
        static TABLE: Table<BalancerObject> = Table::new(Kind::Balancer);
        &TABLE
    }
}

impl BalancerObject {
    fn new(settings: ConfigObject, ring: Option<KeyRing>) -> Result<Self, Failure> {
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
        let member = view.cluster().find(UpstreamId::from_u64(id)).ok_or_else(|| Failure::unknown_id(id))?;
        Ok(Arc::clone(member.upstream()))
    }
}

/// The time of a call: the host's, or for 0 the clock's.
pub(crate) fn timestamp(now_ms: u64) -> Timestamp {
    match now_ms {
        0 => SystemClock.now(),
        _ => Timestamp::from_millis(now_ms),
    }
}

/// Builds a balancer from a configuration, which can be used again. ring holds the keys of affinity. With 0 they are
/// read from the key file that the configuration's TOML names as affinity.keys, a path relative to the working
/// directory, and the file is created if it does not exist. Where the TOML names none, there is no affinity, and the
/// policy places every request. Free the balancer with homing_balancer_free().
///
/// One balancer serves all threads. After a fork, the balancers of parent and child share nothing; leases that were
/// in flight count in both. Without affinity both also continue the same sequence of random numbers, so such a host
/// builds a balancer in each process.
///
/// # Safety
/// balancer must point to a writable homing_handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_balancer_new(
    config: homing_handle,
    ring: homing_handle,
    balancer: *mut homing_handle,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Out::new("balancer", balancer) }?;
        let given = match ring {
            0 => None,
            _ => Some(registry::with("ring", ring, KeyRingObject::keys)?),
        };
        let settings = registry::with("config", config, |settings: &Mutex<ConfigObject>| Ok(settings.lock().clone()))?;
        out.set(registry::insert(BalancerObject::new(settings, given)?)?);
        Ok(HOMING_OK)
    })
}

/// Frees a balancer. Its leases, plans and streams of events stay valid and are freed on their own.
#[unsafe(no_mangle)]
pub extern "C" fn homing_balancer_free(balancer: homing_handle) -> i32 {
    enter(|| registry::remove::<BalancerObject>("balancer", balancer).map(|()| HOMING_OK))
}

/// Replaces the keys, for rotation: the new ring has to have the same pool and identity. Each client gets a token of
/// the new key with its next request. The generation changes; indices do not. HOMING_NOTHING where there is no
/// affinity.
#[unsafe(no_mangle)]
pub extern "C" fn homing_balancer_set_keys(balancer: homing_handle, ring: homing_handle) -> i32 {
    enter(|| {
        let keys = registry::with("ring", ring, KeyRingObject::keys)?;
        let signer = keys.signer();
        let is_set = registry::with("balancer", balancer, |object: &BalancerObject| {
            object.balancer.set_keys(keys)?;
            Ok(object.balancer.affinity().is_some())
        })?;
        if !is_set {
            return Ok(HOMING_NOTHING);
        }
        sink::info(&format!("the keys were changed: {signer} signs"));
        Ok(HOMING_OK)
    })
}

/// The number of upstreams, and the generation of the cluster: while the generation is the same, an upstream is known
/// by its index, from 0 to count - 1.
///
/// # Safety
/// count must point to a writable size_t, and generation to a writable uint64_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_balancer_upstreams(
    balancer: homing_handle,
    count: *mut usize,
    generation: *mut u64,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let (count, number) = unsafe { (Out::new("count", count)?, Out::new("generation", generation)?) };
        registry::with("balancer", balancer, |object: &BalancerObject| {
            let view = object.balancer.view();
            count.set(view.cluster().len());
            number.set(view.generation().as_u64());
            Ok(HOMING_OK)
        })
    })
}

/// The address of the upstream of this id, as configured.
///
/// # Safety
/// cap bytes must be writable at buf, and a size_t at len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_address(
    balancer: homing_handle,
    id: u64,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Buffer::new("address", buf, cap, len) }?;
        registry::with("balancer", balancer, |object: &BalancerObject| {
            out.fill(object.upstream(id)?.address().as_bytes()).map(|()| HOMING_OK)
        })
    })
}
