//! Configurations: by typed calls, or from the gateway's TOML.

use crate::boundary::enter;
use crate::constants::*;
use crate::failure::Failure;
use crate::keyring;
use crate::memory::{Blittable, Out, options, text};
use crate::registry::{self, Handled, Kind, Table, homing_handle};
use homing::config::{self, Engine};
use homing::rng::SeededEntropy;
use homing::{Balancer, KeyRing, UpstreamConfig};
use parking_lot::Mutex;
use std::path::Path;

/// The maximum length of a text option, in bytes.
pub(crate) const TEXT_MAX: usize = 4096;

#[derive(Clone)]
pub(crate) struct ConfigObject {
    pub(crate) engine: Engine,
    /// Whether the configuration names a key file, which is read unless a ring is given.
    has_key_file: bool,
    seed: Option<u64>,
}

impl Handled for Mutex<ConfigObject> {
    const NAME: &'static str = "configuration";

    fn table() -> &'static Table<Self> {
        static TABLE: Table<Mutex<ConfigObject>> = Table::new(Kind::Config);
        &TABLE
    }
}

impl ConfigObject {
    pub(crate) fn build(mut self, ring: Option<KeyRing>) -> Result<Balancer, Failure> {
        let has_keys = ring.is_some() || self.has_key_file;
        self.engine.affinity.enabled &= has_keys;
        let mut builder = self.engine.balancer(|path| ring.map_or_else(|| keyring::load(path), Ok))?;
        if let Some(seed) = self.seed {
            builder = builder.entropy(SeededEntropy::new(seed));
        }
        Ok(builder.build()?)
    }
}

pub(crate) fn with(
    config: homing_handle,
    f: impl FnOnce(&mut ConfigObject) -> Result<(), Failure>,
) -> Result<i32, Failure> {
    registry::with("config", config, |settings: &Mutex<ConfigObject>| f(&mut settings.lock()).map(|()| HOMING_OK))
}

/// Creates a configuration with all defaults and no upstreams. It is validated where it is used, by
/// homing_balancer_new(). A balancer may begin without upstreams: picks are HOMING_ERR_UNAVAILABLE until a plan adds
/// one. Free the configuration with homing_config_free().
///
/// # Safety
/// config must point to a writable homing_handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_new(config: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Out::new("config", config) }?;
        let settings = ConfigObject { engine: Engine::default(), has_key_file: false, seed: None };
        out.set(registry::insert(Mutex::new(settings))?);
        Ok(HOMING_OK)
    })
}

/// Creates a configuration from TOML, UTF-8 of at most HOMING_CONFIG_MAX bytes: the gateway's tables `[affinity]`,
/// `[policy]`, `[[upstream]]`, `[health]` (fall, rise and silence), `[outlier]`, `[slow_start]`, `[failover]`,
/// `[drain]` and `[rebalance]`, with the same keys and defaults. Only policy.key (hosts pass the key with each
/// request) and affinity.lost_header do not exist here. Errors name line and key. affinity.keys names a key file for
/// homing_balancer_new(). More upstreams can be added by homing_config_upstream(). Free the configuration with
/// homing_config_free().
///
/// # Safety
/// toml must have toml_len readable bytes, and config must point to a writable homing_handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_parse(toml: *const u8, toml_len: usize, config: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let (out, toml) = unsafe { (Out::new("config", config)?, text("toml", toml, toml_len, HOMING_CONFIG_MAX)?) };
        let (engine, has_key_file) = (Engine::parse(toml, Path::new("configuration"))?, names_key_file(toml));
        out.set(registry::insert(Mutex::new(ConfigObject { engine, has_key_file, seed: None }))?);
        Ok(HOMING_OK)
    })
}

/// Whether the text names a key file; otherwise the value in the engine is the default.
fn names_key_file(toml: &str) -> bool {
    let table = toml.parse::<toml::Table>().unwrap_or_default();
    table.get("affinity").and_then(|affinity| affinity.get("keys")).is_some()
}

/// An upstream. Set all of it to zero, then size, then the members it needs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_upstream_options {
    /// sizeof(struct homing_upstream_options)
    pub size: usize,
    /// The name: 1 to 255 bytes of visible ASCII, unique in the cluster. Sessions follow the name.
    pub name: *const u8,
    /// The length of name.
    pub name_len: usize,
    /// The address, which the host interprets: host:port by convention. Some policies hash it. At most 4096 bytes of
    /// UTF-8.
    pub address: *const u8,
    /// The length of address.
    pub address_len: usize,
    /// The share of new sessions, 1 to 65535; 0: 1.
    pub weight: u32,
    /// The limit of requests and tunnels in flight; 0: no limit.
    pub max_in_flight: u32,
}

// SAFETY: C's layout of numbers and addresses without padding, and its size comes first.
unsafe impl Blittable for homing_upstream_options {
    const FIRST: usize = size_of::<Self>();
}

impl homing_upstream_options {
    /// The upstream as the library knows it.
    ///
    /// # Safety
    /// The host guarantees that all that it points to can be read.
    pub(crate) unsafe fn read(this: *const Self) -> Result<UpstreamConfig, Failure> {
        // SAFETY: by the caller's guarantee.
        let raw = unsafe { options("upstream", this) }?;
        // SAFETY: by the same guarantee.
        let (name, address) = unsafe {
            (
                text("upstream.name", raw.name, raw.name_len, HOMING_NAME_MAX)?,
                text("upstream.address", raw.address, raw.address_len, TEXT_MAX)?,
            )
        };
        let weight = u16::try_from(raw.weight.max(1))
            .map_err(|_| Failure::value("upstream.weight", format!("is {}; use 1 to 65535", raw.weight)))?;
        Ok(UpstreamConfig::new(name, address).weight(weight).max_in_flight(raw.max_in_flight))
    }
}

/// Adds an upstream.
///
/// # Safety
/// upstream and all that it points to must be readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_upstream(
    config: homing_handle,
    upstream: *const homing_upstream_options,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let UpstreamConfig { name, address, weight, max_in_flight, .. } =
            unsafe { homing_upstream_options::read(upstream) }?;
        with(config, |settings| {
            settings.engine.upstreams.push(config::Upstream { name, address, weight, max_in_flight });
            Ok(())
        })
    })
}

/// Selects the policy that places new sessions, by its name, such as p2c, least_sessions or ip_hash. Without this
/// call it is least_conn. Parameters that were set before are dropped.
///
/// # Safety
/// name must have name_len readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_policy(config: homing_handle, name: *const u8, name_len: usize) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let name = unsafe { text("name", name, name_len, HOMING_NAME_MAX) }?;
        with(config, |settings| {
            settings.engine.policy.name = name.to_owned();
            settings.engine.policy.params.clear();
            Ok(())
        })
    })
}

/// Sets a parameter of the policy, as text.
///
/// # Safety
/// name and value must have as many readable bytes as their lengths say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_policy_param(
    config: homing_handle,
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let (name, value) =
            unsafe { (text("name", name, name_len, HOMING_NAME_MAX)?, text("value", value, value_len, TEXT_MAX)?) };
        with(config, |settings| {
            settings.engine.policy.params.insert(name.to_owned(), value.into());
            Ok(())
        })
    })
}

/// Makes random numbers and session ids reproducible: balancers of this configuration derive them from seed instead
/// of the operating system. For tests only: they can be predicted by anyone who knows the seed, and processes with
/// the same seed use the same numbers.
#[unsafe(no_mangle)]
pub extern "C" fn homing_config_seed(config: homing_handle, seed: u64) -> i32 {
    enter(|| {
        with(config, |settings| {
            settings.seed = Some(seed);
            Ok(())
        })
    })
}

/// Frees a configuration. Balancers that were built from it are not affected.
#[unsafe(no_mangle)]
pub extern "C" fn homing_config_free(config: homing_handle) -> i32 {
    enter(|| registry::remove::<Mutex<ConfigObject>>("config", config).map(|()| HOMING_OK))
}
