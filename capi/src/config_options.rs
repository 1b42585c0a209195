//! Option structs of configurations: affinity, and the thresholds and times of health.

use crate::boundary::enter;
use crate::config::{TEXT_MAX, with};
use crate::constants::HOMING_FOREVER;
use crate::failure::Failure;
use crate::memory::{Blittable, options, switch, text};
use crate::registry::homing_handle;
use homing::config::{self, Engine};
use homing::http::{SameSite, Secure};
use homing::{OnFull, OnRestart};
use std::time::Duration;

/// on_unavailable: a session whose upstream does not serve moves.
pub const HOMING_REPIN: i32 = 0;
/// on_unavailable: it stays, and its requests are refused (HOMING_ERR_REJECTED) until the upstream serves again.
pub const HOMING_REJECT: i32 = 1;
/// on_full: a session whose upstream is at its limit stays, and its requests are refused (HOMING_ERR_FULL) until
/// there is room.
pub const HOMING_FULL_WAIT: i32 = 0;
/// on_full: it moves.
pub const HOMING_FULL_MOVE: i32 = 1;
/// on_restart: a session whose upstream is another process now is placed as if its upstream were gone.
pub const HOMING_RESTART_REPLACE: i32 = 0;
/// on_restart: it stays on the new process.
pub const HOMING_RESTART_KEEP: i32 = 1;
/// same_site: SameSite=Lax.
pub const HOMING_SAME_SITE_LAX: i32 = 0;
/// same_site: SameSite=Strict.
pub const HOMING_SAME_SITE_STRICT: i32 = 1;
/// same_site: SameSite=None.
pub const HOMING_SAME_SITE_NONE: i32 = 2;
/// secure: the cookie has the attribute Secure if the request came over HTTPS, or if browsers demand it.
pub const HOMING_SECURE_AUTO: i32 = 0;
/// secure: it always has it.
pub const HOMING_SECURE_ALWAYS: i32 = 1;
/// secure: it never has it.
pub const HOMING_SECURE_NEVER: i32 = 2;

/// Options of affinity. Set all of it to zero, then size, then the members that differ from the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_affinity_options {
    /// sizeof(struct homing_affinity_options)
    pub size: usize,
    /// The maximum age of a session, in milliseconds, at least 1000; 0: 12 hours. Rounded down to seconds.
    pub max_age_ms: u64,
    /// The maximum time between two requests of a session, in milliseconds, at most max_age_ms; 0: max_age_ms.
    pub idle_ms: u64,
    /// How long after its last request a session counts as live, in milliseconds; 0: 128 seconds.
    pub live_window_ms: u64,
    /// HOMING_REPIN or HOMING_REJECT
    pub on_unavailable: i32,
    /// HOMING_FULL_WAIT or HOMING_FULL_MOVE
    pub on_full: i32,
    /// HOMING_RESTART_REPLACE or HOMING_RESTART_KEEP
    pub on_restart: i32,
    /// A HOMING_SAME_SITE_ number
    pub same_site: i32,
    /// A HOMING_SECURE_ number
    pub secure: i32,
    /// Whether the cookie is partitioned (CHIPS): 0 or 1.
    pub partitioned: i32,
    /// The name of the cookie; none: homing.
    pub cookie: *const u8,
    /// The length of cookie.
    pub cookie_len: usize,
    /// The Domain attribute of the cookie; none: no attribute, so that browsers send it to this host only.
    pub domain: *const u8,
    /// The length of domain.
    pub domain_len: usize,
    /// The Path attribute of the cookie; none: /.
    pub path: *const u8,
    /// The length of path.
    pub path_len: usize,
}

// SAFETY: C's layout of numbers and addresses without padding, and its size comes first.
unsafe impl Blittable for homing_affinity_options {
    const FIRST: usize = size_of::<Self>();
}

/// Sets all options of affinity.
///
/// # Safety
/// affinity and all that it points to must be readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_affinity(
    config: homing_handle,
    affinity: *const homing_affinity_options,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let raw = unsafe { options("affinity", affinity) }?;
        // SAFETY: by the same guarantee.
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

/// Thresholds and time constants of health checks, outlier ejection, slow start, failover and drains. Set all of it
/// to zero, then size, then the members that differ from the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_health_options {
    /// sizeof(struct homing_health_options)
    pub size: usize,
    /// How many probes in a row have to fail before an upstream is down; 0: 2.
    pub fall: u32,
    /// How many probes in a row have to pass before it is up again; 0: 2.
    pub rise: u32,
    /// How many requests in a row have to fail before an upstream is ejected, so that it takes no new sessions; 0: 5;
    /// UINT32_MAX: this rule is off.
    pub consecutive: u32,
    /// How many displaced sessions a failover target takes in a second; 0: 500; UINT32_MAX: no limit.
    pub failover_rate: u32,
    /// The time of the first ejection, in milliseconds; 0: 10 seconds. Repeated ejections are longer.
    pub base_ms: u64,
    /// The maximum time of an ejection, in milliseconds; 0: 5 minutes.
    pub max_ms: u64,
    /// An upstream that responds to no request for this time takes no new sessions, in milliseconds; 0: 5 seconds;
    /// HOMING_FOREVER: this rule is off.
    pub silence_ms: u64,
    /// The time of the slow start of new and returned upstreams, in milliseconds; 0: 10 seconds; HOMING_FOREVER: no
    /// slow start.
    pub slow_start_ms: u64,
    /// How long sessions wait for an upstream that is down to return (HOMING_LATER), in milliseconds; 0: they move at
    /// once.
    pub hold_ms: u64,
    /// The time after the deadline of a drain over which its sessions leave, in milliseconds; 0: 30 seconds;
    /// HOMING_FOREVER: all at once.
    pub drain_spread_ms: u64,
}

// SAFETY: C's layout of numbers without padding, and its size comes first.
unsafe impl Blittable for homing_health_options {
    const FIRST: usize = size_of::<Self>();
}

/// Sets all of these options: a member that is 0 gets its default, whatever was set before.
///
/// # Safety
/// health must be readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_config_health(config: homing_handle, health: *const homing_health_options) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
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

/// Sets an option for which the library uses 0 as "off", while 0 is the default here.
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
