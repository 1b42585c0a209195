//! The claims of the examples, in the same simulation with fewer users: the time to fill new upstreams, and sessions of
//! clients behind NATs.

use crate::virtual_users::{Dice, MEAN_LIFE, Setup, World, anywhere};
use homing::Availability;
use homing::policy::Params;
use std::net::{IpAddr, Ipv4Addr};

const SESSIONS: usize = 6000;
const OLD: usize = 10;
const ALL: usize = 15;
const ADDED: usize = 200;
const PATIENCE: usize = 900;

fn setup(policy: &'static str, params: Params, proxies: usize, seed: u64) -> Setup {
    Setup { policy, params, affinity: true, proxies, upstreams: OLD, sessions: SESSIONS, seed, address: anywhere }
}

/// Seconds until the new upstreams have 90 % of their fair share, if that is within `PATIENCE`.
fn time_to_fill(policy: &'static str, d: Option<&str>, proxies: usize, seed: u64) -> Option<usize> {
    let params = d.map_or_else(Params::new, |d| Params::new().with("d", d));
    let mut world = World::new(setup(policy, params, proxies, seed)).unwrap();
    world.run_until(ADDED).unwrap();
    world.grow(ALL).unwrap();
    world.run_until(ADDED + PATIENCE).unwrap();
    assert_eq!(world.broken, 0, "{policy}, seed {seed}: a session that lives was moved");
    let filled = |live: &Vec<u32>| {
        let mean = |live: &[u32]| f64::from(live.iter().sum::<u32>()) / live.len() as f64;
        mean(&live[OLD..]) >= 0.9 * mean(live)
    };
    let time = world.history[ADDED + 1..].iter().position(filled);
    println!("{policy} {d:?}, {proxies} proxies, seed {seed}: {time:?}");
    time
}

/// The lower bound in seconds for every policy: all new sessions go to the new upstreams, at the rate at which they
/// begin.
fn fastest() -> f64 {
    -MEAN_LIFE * (1.0 - 0.9 * (ALL - OLD) as f64 / ALL as f64).ln()
}

#[test]
fn least_sessions_fills_new_upstreams_about_as_fast_as_sessions_begin() {
    for (proxies, seed) in [(1, 1), (1, 2), (10, 3), (10, 4)] {
        let all = time_to_fill("least_sessions", Some("all"), proxies, seed).unwrap() as f64;
        // The arrivals of one run differ from their mean by some percent.
        assert!((all / fastest() - 1.0).abs() < 0.1, "{all} s, and {} s are due", fastest());
        let three = time_to_fill("least_sessions", None, proxies, seed).unwrap() as f64;
        assert!(three > all && three < 1.7 * fastest(), "{three} s with three choices, {all} s with all");
    }
}

#[test]
fn policies_that_do_not_count_sessions_take_longer() {
    for (proxies, seed) in [(1, 1), (10, 3)] {
        let slowest = time_to_fill("least_sessions", None, proxies, seed).unwrap();
        // Too few requests are in flight to distinguish the upstreams.
        assert!(time_to_fill("least_conn", None, proxies, seed).is_none_or(|time| time > slowest));
        // Random placement gives the new upstreams a third of the new sessions: it would take 2763 s.
        assert_eq!(time_to_fill("random", None, proxies, seed), None);
    }
}

const NATS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(203, 0, 113, 1)];

fn behind_nats(dice: &Dice) -> IpAddr {
    if dice.uniform() < 0.6 { NATS[dice.below(NATS.len())].into() } else { anywhere(dice) }
}

/// The highest load relative to the mean; then the sessions lost when an upstream fails, when it returns, and when one
/// is added.
fn behind_nat(policy: &'static str, affinity: bool) -> (f64, [usize; 3]) {
    let setup =
        Setup { affinity, upstreams: 5, sessions: 2000, address: behind_nats, ..setup(policy, Params::new(), 1, 5) };
    let mut world = World::new(setup).unwrap();
    world.run_until(300).unwrap();
    let skew = f64::from(*world.live.iter().max().unwrap()) * 5.0 / f64::from(world.live.iter().sum::<u32>());
    let mut lost = [0; 3];
    world.set_availability(0, Availability::DOWN);
    world.run_until(600).unwrap();
    lost[0] = world.broken;
    world.set_availability(0, Availability::ACTIVE);
    world.run_until(900).unwrap();
    lost[1] = world.broken - lost[0];
    world.grow(6).unwrap();
    world.run_until(1200).unwrap();
    lost[2] = world.broken - lost[0] - lost[1];
    println!("{policy}, affinity {affinity}: {skew:.2}, {lost:?}");
    (skew, lost)
}

#[test]
fn behind_nats_tokens_keep_sessions_and_least_sessions_spreads_them() {
    let (skew, lost) = behind_nat("ip_hash", false);
    assert!(skew > 1.3, "three NATs on five upstreams: {skew}");
    assert!(
        lost[0] > 200 && lost[1] > 200 && lost[2] > 1000,
        "hashed addresses keep sessions only while nothing changes: {lost:?}"
    );
    let (skew, lost) = behind_nat("ip_hash", true);
    assert!(skew > 1.3 && lost[0] > 200 && lost[1..] == [0, 0], "{skew}, {lost:?}");
    let (skew, lost) = behind_nat("least_sessions", true);
    assert!(skew < 1.15 && lost[0] > 200 && lost[1..] == [0, 0], "{skew}, {lost:?}");
}
