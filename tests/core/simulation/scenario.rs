//! The pool that a seed makes: its size, its settings and its faults.

use crate::simulation::dice::Dice;
use homing::affinity::{OnFull, OnRestart, OnUnavailable};
use homing::health::{Failover, HealthSettings, Outlier, Probes, SlowStart};
use std::time::Duration;

/// Times are virtual milliseconds.
#[derive(Debug)]
pub struct Scenario {
    pub length: u64,
    pub proxies: usize,
    pub upstreams: usize,
    pub sessions: usize,
    pub policy: &'static str,
    pub health: HealthSettings,
    pub on_unavailable: OnUnavailable,
    pub on_full: OnFull,
    pub on_restart: OnRestart,
    /// Sessions a minute that a proxy may rebalance.
    pub rebalance: u32,
    /// Seconds.
    pub max_age: u64,
    /// Seconds.
    pub idle: u64,
    /// The limit of requests in flight on an upstream, 0 for none.
    pub limit: u32,
    /// The time between two probes of an upstream; `None` without probes.
    pub probes: Option<u64>,
    pub tick: u64,
    /// The mean time between two faults.
    pub trouble: u64,
    /// How far the proxies' clocks are off.
    pub skew: u64,
    /// The mean time of a process until its response.
    pub service: u64,
    pub response_timeout: u64,
    pub queue_timeout: u64,
}

pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const CONNECT_TIMEOUT: u64 = 3 * SECOND;
pub const PROBE_TIMEOUT: u64 = SECOND;

/// Most seeds are small, so that many can be run.
pub fn draw(dice: &Dice) -> Scenario {
    let is_large = dice.chance(0.01);
    let sessions = match is_large {
        true => dice.between(1000, 3000),
        false => dice.between(10, 80),
    };
    let length = dice.between(20, 120) * MINUTE;
    let (fall, rise) = (dice.between(1, 3) as u32, dice.between(1, 3) as u32);
    let window = Duration::from_secs(dice.one_of(&[0, 10, 10, 60]));
    let base = Duration::from_secs(dice.one_of(&[2, 10, 10, 30]));
    let failover = Failover::default()
        .rate(dice.one_of(&[0, 5, 500]))
        .return_timeout(Duration::from_secs(dice.one_of(&[0, 0, 1, 3])));
    let health = HealthSettings::default()
        .failover(failover)
        .probes(Probes::default().fall(fall).rise(rise))
        .outlier(Outlier::default().consecutive(dice.one_of(&[0, 3, 5])).min_requests(10).base(base))
        .slow_start(SlowStart::default().window(window))
        .drain_spread(Duration::from_secs(dice.one_of(&[0, 10, 30, 120])));
    let (proxies, upstreams, service) = (dice.between(1, 5), dice.between(3, 12), dice.one_of(&[30, 100, 500, 2000]));
    // A user sends some 20 requests in a thousand seconds, and more while awake.
    let usual_load = sessions as f64 * 0.03 * service as f64 / 1000.0 * 1.5 / (proxies * upstreams) as f64;
    let limit = (3.0 * usual_load) as u32 + dice.between(1, 6) as u32;
    Scenario {
        length,
        proxies: proxies as usize,
        upstreams: upstreams as usize,
        sessions: sessions as usize,
        policy: dice.one_of(POLICIES),
        health,
        on_unavailable: if dice.chance(0.05) { OnUnavailable::Reject } else { OnUnavailable::Repin },
        on_full: if dice.chance(0.3) { OnFull::Move } else { OnFull::Wait },
        on_restart: if dice.chance(0.3) { OnRestart::Keep } else { OnRestart::Replace },
        rebalance: dice.one_of(&[0, 0, 0, 30, 300]),
        max_age: dice.between(10, 90) * 60,
        idle: dice.between(2, 15) * 60,
        limit: if dice.chance(0.4) { limit } else { 0 },
        probes: dice.chance(0.85).then(|| dice.between(2, 15) * SECOND),
        tick: dice.one_of(&[200, 500, 1000, 1000]),
        trouble: dice.between(10, 300) * SECOND,
        skew: dice.one_of(&[0, 0, 200, 5000, 30_000]),
        service,
        response_timeout: dice.between(5, 30) * SECOND,
        queue_timeout: 5 * SECOND,
    }
}

/// Policies that are cheap to build are listed more often.
const POLICIES: &[&str] = &[
    "least_sessions",
    "least_sessions",
    "least_conn",
    "least_conn",
    "p2c",
    "round_robin",
    "random",
    "peak_ewma",
    "rendezvous",
    "rendezvous",
    "ip_hash",
    "hash",
    "ketama",
    "chash",
];
