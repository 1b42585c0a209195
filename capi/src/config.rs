//! Configurations: typed calls, or the gateway's TOML.

use crate::boundary::enter;
use crate::failure::Failure;
use crate::keyring;
use crate::memory::{Blittable, Out, options, switch, text};
use crate::registry::{self, homing_handle};
use crate::status::*;
use homing::config::{self, Engine};
use homing::http::{SameSite, Secure};
use homing::rng::SeededEntropy;
use homing::{Balancer, KeyRing, OnFull, OnRestart, UpstreamConfig};
use parking_lot::Mutex;
use std::path::Path;
use std::time::Duration;

/// A session whose upstream does not serve moves.
pub const HOMING_REPIN: i32 = 0;
/// Its requests are refused until the upstream serves again.
pub const HOMING_REJECT: i32 = 1;
/// A session whose upstream is at its limit stays, and its requests are refused (HOMING_ERR_FULL) until there
/// is room.
pub const HOMING_FULL_WAIT: i32 = 0;
/// It moves.
pub const HOMING_FULL_MOVE: i32 = 1;
/// A session whose upstream is another process now is placed as if its upstream were gone.
pub const HOMING_RESTART_REPLACE: i32 = 0;
/// It stays on the new process.
pub const HOMING_RESTART_KEEP: i32 = 1;
/// SameSite=Lax.
pub const HOMING_SAME_SITE_LAX: i32 = 0;
/// SameSite=Strict.
pub const HOMING_SAME_SITE_STRICT: i32 = 1;
/// SameSite=None.
pub const HOMING_SAME_SITE_NONE: i32 = 2;
/// The cookie says Secure where the request came over HTTPS, or browsers ask for it.
pub const HOMING_SECURE_AUTO: i32 = 0;
/// It always does.
pub const HOMING_SECURE_ALWAYS: i32 = 1;
/// It never does.
pub const HOMING_SECURE_NEVER: i32 = 2;

/// The longest text of an option, in bytes.
const TEXT_MAX: usize = 4096;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) engine: Engine,
    /// Whether the keys are where the engine says, unless a ring is given.
    has_key_file: bool,
    seed: Option<u64>,
}

impl Settings {
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

fn with(config: homing_handle, what: impl FnOnce(&mut Settings) -> Result<(), Failure>) -> Result<i32, Failure> {
    registry::with("config", config, |settings: &Mutex<Settings>| what(&mut settings.lock()).map(|()| HOMING_OK))
}

/// Begins a configuration with every default and no upstreams. It is judged where it is used, by
/// homing_balancer_new(). Free it with homing_config_free().
///
/// # Safety
/// config must take a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_new(config: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Out::new("config", config) }?;
        let settings = Settings { engine: Engine::default(), has_key_file: false, seed: None };
        out.set(registry::insert(Mutex::new(settings))?);
        Ok(HOMING_OK)
    })
}

/// Reads a configuration of TOML, UTF-8 of at most HOMING_CONFIG_MAX bytes: the tables `[affinity]`, `[policy]`,
/// `[[upstream]]`, `[health]` (fall, rise and silence), `[outlier]`, `[slow_start]`, `[failover]`, `[drain]` and `[rebalance]`
/// of the gateway's, with the same keys and defaults, but for what is the gateway's alone: policy.key (hosts hand
/// the key in) and affinity.lost_header. What is wrong is refused with its line and key. affinity.keys names a
/// key file for homing_balancer_new(). Upstreams may come later, by homing_config_upstream(). Free the configuration
/// with homing_config_free().
///
/// # Safety
/// toml must have toml_len bytes, and config take a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_parse(toml: *const u8, toml_len: usize, config: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (out, toml) = unsafe { (Out::new("config", config)?, text("toml", toml, toml_len, HOMING_CONFIG_MAX)?) };
        let (engine, has_key_file) = (Engine::parse(toml, Path::new("configuration"))?, names_key_file(toml));
        out.set(registry::insert(Mutex::new(Settings { engine, has_key_file, seed: None }))?);
        Ok(HOMING_OK)
    })
}

/// Whether it is in the text, or the default.
fn names_key_file(toml: &str) -> bool {
    let table = toml.parse::<toml::Table>().unwrap_or_default();
    table.get("affinity").and_then(|affinity| affinity.get("keys")).is_some()
}

/// An upstream. Set all of it to zero, then size, then what it has.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_upstream_options {
    /// sizeof(struct homing_upstream_options)
    pub size: usize,
    /// Its name, 1 to 255 bytes of visible ASCII, unique in the cluster. Sessions follow the name.
    pub name: *const u8,
    /// Its length.
    pub name_len: usize,
    /// Where it is, for the host: host:port by custom, which some policies hash. At most 4096 bytes of UTF-8.
    pub address: *const u8,
    /// Its length.
    pub address_len: usize,
    /// Its share of new sessions, 1 to 65535; 0: 1.
    pub weight: u32,
    /// The most requests and tunnels in flight; 0: no limit.
    pub max_in_flight: u32,
}

// SAFETY: C's layout of numbers and addresses without padding, and its size comes first.
unsafe impl Blittable for homing_upstream_options {
    const FIRST: usize = size_of::<Self>();
}

impl homing_upstream_options {
    /// # Safety
    /// The host says that all that it points to can be read.
    pub(crate) unsafe fn read(this: *const Self) -> Result<UpstreamConfig, Failure> {
        // SAFETY: as the caller says.
        let raw = unsafe { options("upstream", this) }?;
        // SAFETY: likewise.
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
        // SAFETY: as the host says.
        let UpstreamConfig { name, address, weight, max_in_flight, .. } =
            unsafe { homing_upstream_options::read(upstream) }?;
        with(config, |settings| {
            settings.engine.upstreams.push(config::Upstream { name, address, weight, max_in_flight });
            Ok(())
        })
    })
}

/// Chooses the policy that places new sessions, by its name, such as p2c, least_sessions or ip_hash;
/// least_conn unless it is called. Its parameters begin anew.
///
/// # Safety
/// name must have name_len bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_policy(config: homing_handle, name: *const u8, name_len: usize) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
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
/// name and value must have so many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_policy_param(
    config: homing_handle,
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (name, value) =
            unsafe { (text("name", name, name_len, HOMING_NAME_MAX)?, text("value", value, value_len, TEXT_MAX)?) };
        with(config, |settings| {
            settings.engine.policy.params.insert(name.to_owned(), value.into());
            Ok(())
        })
    })
}

/// How sessions come back. Set all of it to zero, then size, then what is to differ from the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_affinity_options {
    /// sizeof(struct homing_affinity_options)
    pub size: usize,
    /// The greatest age of a session, in milliseconds, 1000 at least; 0: 12 hours. Fractions of seconds do not count.
    pub max_age_ms: u64,
    /// How long a session may go without a request, at most max_age_ms; 0: for as long as it lives.
    pub idle_ms: u64,
    /// How long a session counts as live without a request; 0: 128 seconds.
    pub live_window_ms: u64,
    /// HOMING_REPIN or HOMING_REJECT
    pub on_unavailable: i32,
    /// HOMING_FULL_
    pub on_full: i32,
    /// HOMING_RESTART_
    pub on_restart: i32,
    /// HOMING_SAME_SITE_
    pub same_site: i32,
    /// HOMING_SECURE_
    pub secure: i32,
    /// Whether the cookie is partitioned (CHIPS): 0 or 1.
    pub partitioned: i32,
    /// The cookie's name; none: homing.
    pub cookie: *const u8,
    /// Its length.
    pub cookie_len: usize,
    /// Its domain; none: the host that is asked, alone.
    pub domain: *const u8,
    /// Its length.
    pub domain_len: usize,
    /// Its path; none: /.
    pub path: *const u8,
    /// Its length.
    pub path_len: usize,
}

// SAFETY: C's layout of numbers and addresses without padding, and its size comes first.
unsafe impl Blittable for homing_affinity_options {
    const FIRST: usize = size_of::<Self>();
}

/// Sets how sessions come back, all at once.
///
/// # Safety
/// affinity and all that it points to must be readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_affinity(
    config: homing_handle,
    affinity: *const homing_affinity_options,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let raw = unsafe { options("affinity", affinity) }?;
        // SAFETY: likewise.
        let (cookie, domain, path) = unsafe {
            (
                text("affinity.cookie", raw.cookie, raw.cookie_len, TEXT_MAX)?,
                text("affinity.domain", raw.domain, raw.domain_len, TEXT_MAX)?,
                text("affinity.path", raw.path, raw.path_len, TEXT_MAX)?,
            )
        };
        let mut next = config::Affinity::default();
        next.max_age = time(raw.max_age_ms, next.max_age);
        next.idle = (raw.idle_ms > 0).then(|| Duration::from_millis(raw.idle_ms));
        if next.idle.is_some_and(|idle| idle > next.max_age) {
            return Err(Failure::value("affinity.idle_ms", "is more than max_age_ms"));
        }
        next.live_window = time(raw.live_window_ms, next.live_window);
        next.on_unavailable = choice(
            "affinity.on_unavailable",
            raw.on_unavailable,
            [config::OnUnavailable::Repin, config::OnUnavailable::Reject],
        )?;
        next.on_full = choice("affinity.on_full", raw.on_full, [OnFull::Wait, OnFull::Move])?;
        next.on_restart = choice("affinity.on_restart", raw.on_restart, [OnRestart::Replace, OnRestart::Keep])?;
        let sites = [SameSite::Lax, SameSite::Strict, SameSite::None];
        next.same_site = choice("affinity.same_site", raw.same_site, sites)?;
        next.secure = choice("affinity.secure", raw.secure, [Secure::Auto, Secure::Always, Secure::Never])?;
        next.partitioned = switch("affinity.partitioned", raw.partitioned)?;
        if !cookie.is_empty() {
            next.cookie = cookie.parse()?;
        }
        if !domain.is_empty() {
            next.domain = Some(domain.to_owned());
        }
        if !path.is_empty() {
            next.path = path.to_owned();
        }
        with(config, |settings| {
            let last = &mut settings.engine.affinity;
            (next.enabled, next.keys) = (last.enabled, std::mem::take(&mut last.keys));
            next.accept = std::mem::take(&mut last.accept);
            *last = next;
            Ok(())
        })
    })
}

fn time(ms: u64, default: Duration) -> Duration {
    if ms == 0 { default } else { Duration::from_millis(ms) }
}

fn choice<T: Copy, const N: usize>(name: &'static str, number: i32, all: [T; N]) -> Result<T, Failure> {
    let chosen = usize::try_from(number).ok().and_then(|number| all.get(number).copied());
    chosen.ok_or_else(|| Failure::value(name, format!("is {number}; use 0 to {}", N - 1)))
}

/// How quickly what is believed of upstreams. Set all of it to zero, then size, then what is to differ from
/// the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_health_options {
    /// sizeof(struct homing_health_options)
    pub size: usize,
    /// Probes that fail in a row until an upstream is down; 0: 2.
    pub fall: u32,
    /// Probes that pass in a row until it returns; 0: 2.
    pub rise: u32,
    /// Failed requests in a row until it takes no new sessions; 0: 5; UINT32_MAX: no such rule.
    pub consecutive: u32,
    /// How many displaced sessions a second one upstream takes; 0: 500; UINT32_MAX: no limit.
    pub failover_rate: u32,
    /// How long the first judgement holds, in milliseconds; 0: 10 seconds. Further ones hold longer.
    pub base_ms: u64,
    /// The longest that one holds; 0: 5 minutes.
    pub max_ms: u64,
    /// An upstream that answered nobody for so long takes no new sessions; 0: 5 seconds; HOMING_FOREVER: no
    /// such rule.
    pub silence_ms: u64,
    /// How long the slow start of new and returned upstreams takes; 0: 10 seconds; HOMING_FOREVER: there is
    /// none.
    pub slow_start_ms: u64,
    /// How long sessions wait for an upstream that is down to come back (HOMING_LATER); 0: they move.
    pub hold_ms: u64,
    /// After a drain's deadline, sessions leave over this time; 0: 30 seconds; HOMING_FOREVER: at once.
    pub drain_spread_ms: u64,
}

// SAFETY: C's layout of numbers without padding, and its size comes first.
unsafe impl Blittable for homing_health_options {
    const FIRST: usize = size_of::<Self>();
}

/// Sets how quickly what is believed of upstreams, all at once: what is 0 here has its default, whatever it was before.
///
/// # Safety
/// health must be readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_health(config: homing_handle, health: *const homing_health_options) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let raw = unsafe { options("health", health) }?;
        with(config, |settings| {
            let Engine { affinity, policy, rebalance, upstreams, .. } = std::mem::take(&mut settings.engine);
            settings.engine = Engine { affinity, policy, rebalance, upstreams, ..Engine::default() };
            let engine = &mut settings.engine;
            count(raw.fall, &mut engine.health.fall);
            count(raw.rise, &mut engine.health.rise);
            limit(raw.consecutive, &mut engine.outlier.consecutive);
            limit(raw.failover_rate, &mut engine.failover.rate);
            engine.outlier.base = time(raw.base_ms, engine.outlier.base);
            engine.outlier.max = time(raw.max_ms, engine.outlier.max);
            engine.health.silence = time_or_none(raw.silence_ms, engine.health.silence);
            engine.slow_start.window = time_or_none(raw.slow_start_ms, engine.slow_start.window);
            engine.failover.return_timeout = time(raw.hold_ms, engine.failover.return_timeout);
            engine.drain.spread = time_or_none(raw.drain_spread_ms, engine.drain.spread);
            Ok(())
        })
    })
}

fn count(number: u32, setting: &mut u32) {
    if number != 0 {
        *setting = number;
    }
}

/// For settings that are turned off by zero, which here is the default.
fn limit(number: u32, setting: &mut u32) {
    match number {
        0 => {}
        u32::MAX => *setting = 0,
        _ => *setting = number,
    }
}

fn time_or_none(ms: u64, default: Duration) -> Duration {
    if ms == HOMING_FOREVER { Duration::ZERO } else { time(ms, default) }
}

/// Lets chance and session numbers repeat: balancers of this configuration draw them from seed in place of
/// the operating system. For tests alone: whoever knows the seed knows the numbers, and processes that share
/// it share them.
#[unsafe(no_mangle)]
pub extern "C" fn homing_config_seed(config: homing_handle, seed: u64) -> i32 {
    enter(|| {
        with(config, |settings| {
            settings.seed = Some(seed);
            Ok(())
        })
    })
}

/// Frees a configuration. Balancers that were built of it go on.
#[unsafe(no_mangle)]
pub extern "C" fn homing_config_free(config: homing_handle) -> i32 {
    enter(|| registry::remove::<Mutex<Settings>>("config", config).map(|()| HOMING_OK))
}
