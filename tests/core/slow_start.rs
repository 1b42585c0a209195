//! Slow start: the share of a returned upstream grows with time under every policy, and no session is refused for it.

use crate::{NOW, ring, upstream, upstreams};
use homing::health::{Failover, Outcome, ProbeResult, SlowStart, State};
use homing::rng::SeededEntropy;
use homing::{Affinity, Availability, Balancer, HealthSettings, Lease, Request, Timestamp, policy};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const UPSTREAMS: usize = 10;
/// New sessions per tenth of a second; then the number of tenths for which each is in flight.
const SESSIONS: u64 = 200;
const TENTHS: usize = 3;
const TENTH: Duration = Duration::from_millis(100);

/// A balancer, its time, and the leases in flight.
struct World {
    balancer: Balancer,
    now: Timestamp,
    clients: u64,
    in_flight: VecDeque<Vec<Lease>>,
}

impl World {
    fn new(policy: &str, slow_start: SlowStart) -> Self {
        let balancer = Balancer::builder()
            .upstreams(upstreams(UPSTREAMS))
            .policy(policy)
            .affinity(Affinity::builder(ring(0, &[])).build().unwrap())
            .health(
                HealthSettings::default()
                    .slow_start(slow_start)
                    .failover(Failover::default().rate(0).return_timeout(Duration::ZERO)),
            )
            .entropy(SeededEntropy::new(5))
            .build()
            .unwrap();
        balancer.tick(NOW);
        Self { balancer, now: NOW, clients: 0, in_flight: VecDeque::new() }
    }

    /// Advances the time by a tenth of a second; returns how many of its new sessions went to `app-1`.
    fn pass(&mut self) -> u64 {
        self.now = self.now.after(TENTH);
        self.balancer.tick(self.now);
        if self.in_flight.len() == TENTHS {
            self.in_flight.pop_front();
        }
        let mut leases = Vec::new();
        for _ in 0..SESSIONS {
            self.clients += 1;
            // Different networks of 24 bits, which `ip_hash` hashes.
            let client = Ipv4Addr::from((self.clients as u32).wrapping_mul(0x9e37_79b9) & !0xff);
            let pick = self.balancer.pick(&Request::new(self.now).client(IpAddr::V4(client))).unwrap();
            self.balancer.report(pick.upstream(), Outcome::Answered, self.now);
            leases.push(pick.lease);
        }
        let count = leases.iter().filter(|lease| lease.upstream().name() == "app-1").count();
        self.in_flight.push_back(leases);
        count as u64
    }

    /// `app-1` is down for five seconds, and returns.
    fn restart(&mut self) {
        self.pass();
        // By a probe: without probes it would return when its ejection time is over.
        self.balancer.probe(upstream(&self.balancer, "app-1").id(), ProbeResult::Refused, self.now);
        for _ in 0..50 {
            assert_eq!(self.pass(), 0);
        }
        for _ in 0..2 {
            self.balancer.probe(upstream(&self.balancer, "app-1").id(), ProbeResult::Passed, self.now);
        }
    }
}

/// The number of sessions that `app-1` gets in each second after its return.
fn returns(policy: &str, slow_start: SlowStart, seconds: usize) -> Vec<u64> {
    let mut world = World::new(policy, slow_start);
    world.restart();
    (0..seconds).map(|_| (0..10).map(|_| world.pass()).sum()).collect()
}

#[test]
fn the_share_of_a_returned_upstream_grows_under_every_policy() {
    let window = SlowStart::default();
    for entry in policy::registry() {
        let counts = returns(entry.name, window, 10);
        // Policies by key have uneven shares; the upstream's own is what it gets in the end.
        let all = 10 * SESSIONS;
        let is_keyed = ["ip_hash", "hash", "ketama", "chash", "maglev", "rendezvous"].contains(&entry.name);
        let own = match is_keyed {
            true => (0..2).map(|_| returns(entry.name, window.window(Duration::ZERO), 3)[2]).max().unwrap() as f64,
            false => all as f64 / UPSTREAMS as f64,
        };
        for (second, count) in (0..).zip(&counts) {
            let fraction = |at: f64| window.fraction(Duration::from_secs_f64(at));
            let share = |f: f64| match is_keyed {
                true => own * f,
                false => all as f64 * f / (UPSTREAMS as f64 - 1.0 + f),
            };
            // Four standard deviations of chance.
            let chance = |mean: f64| 4.0 * mean.sqrt() + 2.0;
            let (low, high) = (share(fraction(f64::from(second))), share(fraction(f64::from(second) + 1.0)));
            let count = *count as f64;
            let shown =
                format!("{}, second {second}: {count}, from {low:.0} to {high:.0} expected; {counts:?}", entry.name);
            assert!(count <= high + chance(high), "{shown}");
            assert!(count >= 0.75 * low - chance(low), "{shown}");
        }
        assert!(counts[0] <= 2 * all / UPSTREAMS as u64, "the first second of {}: {counts:?}", entry.name);
    }
}

#[test]
fn without_slow_start_policies_by_load_overload_a_returned_upstream() {
    let off = SlowStart::default().window(Duration::ZERO);
    let fair = SESSIONS * 10 / UPSTREAMS as u64;
    let rush = returns("least_sessions", off, 1)[0];
    assert!(rush > 2 * fair, "the control: {rush} of {fair}");
    // As many requests as the others have in flight, at once.
    let mut world = World::new("least_conn", off);
    world.restart();
    let first = world.pass();
    assert!(first > 2 * SESSIONS / UPSTREAMS as u64, "the control: {first} in a tenth of a second");
}

#[test]
fn many_new_upstreams_ramp_up_as_slowly_as_one() {
    for policy in ["least_conn", "least_sessions", "round_robin", "p2c"] {
        let mut world = World::new(policy, SlowStart::default());
        (0..30).for_each(|_| _ = world.pass());
        let more = upstreams(2 * UPSTREAMS).into_iter().skip(UPSTREAMS).map(homing::Change::Put);
        let plan = world.balancer.plan(&more.collect::<Vec<_>>()).unwrap();
        world.balancer.apply(plan).unwrap();
        let on_new = |world: &World| -> u64 {
            world.balancer.cluster().members()[UPSTREAMS..].iter().map(|member| member.upstream().total()).sum()
        };
        (0..10).for_each(|_| _ = world.pass());
        // Ten upstreams at a tenth of their share beside ten at all of theirs: an eleventh of the sessions.
        let first = on_new(&world);
        assert!((120..=250).contains(&first), "{policy}: {first} of 2000 in the first second");
        (0..100).for_each(|_| _ = world.pass());
        let before = on_new(&world);
        (0..10).for_each(|_| _ = world.pass());
        let then = on_new(&world) - before;
        assert!(then >= 900, "{policy}: {then} of 2000 when it was over");
    }
}

#[test]
fn slow_start_of_all_upstreams_alike_changes_nothing() {
    for entry in policy::registry() {
        let placed = |slow_start| {
            let mut world = World::new(entry.name, slow_start);
            let upstreams: Vec<_> = world.balancer.cluster().members().iter().map(|m| m.upstream().clone()).collect();
            for upstream in &upstreams {
                world.balancer.report(upstream, Outcome::ConnectRefused, world.now);
            }
            world.now = world.now.after(Duration::from_secs(30));
            for upstream in &upstreams {
                (0..2).for_each(|_| world.balancer.probe(upstream.id(), ProbeResult::Passed, world.now));
            }
            let state = world.balancer.status()[0].state;
            (0..20).map(|_| world.pass()).for_each(drop);
            let totals: Vec<_> = upstreams.iter().map(|upstream| upstream.total()).collect();
            (state, totals)
        };
        let (warm, with) = placed(SlowStart::default());
        let (active, without) = placed(SlowStart::default().window(Duration::ZERO));
        assert_eq!((warm, active), (State::SlowStart, State::Active));
        assert_eq!(with, without, "{}", entry.name);
    }
}

#[test]
fn slow_start_refuses_no_session() {
    for entry in policy::registry() {
        let mut world = World::new(entry.name, SlowStart::default());
        world.restart();
        for member in &world.balancer.cluster().members()[1..] {
            member.upstream().set_availability(Availability::DRAINING);
        }
        assert_eq!(world.pass(), SESSIONS, "{}", entry.name);
    }
}

#[test]
fn a_key_moves_to_a_returned_upstream_once() {
    for policy in ["hash", "ketama", "chash", "maglev", "rendezvous"] {
        let mut world = World::new(policy, SlowStart::default());
        world.restart();
        let keys: Vec<[u8; 4]> = (0..500_u32).map(u32::to_be_bytes).collect();
        let mut placed = HashMap::<[u8; 4], String>::new();
        let (mut moved, mut last) = (0, 0);
        for _ in 0..110 {
            world.now = world.now.after(TENTH);
            world.balancer.tick(world.now);
            last = 0;
            for key in &keys {
                let pick = world.balancer.pick(&Request::new(world.now).key(key)).unwrap();
                let pinned = pick.upstream().name();
                if let Some(before) = placed.insert(*key, pinned.to_owned())
                    && before != pinned
                {
                    assert_eq!(pinned, "app-1", "{policy}: a key moved, and not to the one that returned");
                    moved += 1;
                }
                last += u32::from(pinned == "app-1");
            }
        }
        assert!(moved > 20 && last >= moved && last < moved + 30, "{policy}: {moved} moved, {last} are there");
    }
}

#[test]
fn slow_start_does_not_delay_known_or_displaced_sessions() {
    let mut world = World::new("round_robin", SlowStart::default());
    world.restart();
    let one_to_two = |world: &World| {
        for member in &world.balancer.cluster().members()[1..] {
            member.upstream().set_availability(Availability::ACTIVE);
        }
        world.balancer.pick(&Request::new(world.now)).unwrap()
    };
    // Displaced sessions move to app-1, the only one left, at once, although it is in slow start.
    let first = one_to_two(&world);
    let token = first.token.unwrap();
    for member in &world.balancer.cluster().members()[1..] {
        member.upstream().set_availability(Availability::DOWN);
    }
    let moved = world.balancer.pick(&Request::new(world.now).tokens(&[token.as_bytes()])).unwrap();
    assert_eq!(moved.upstream().name(), "app-1");
    let token = moved.token.unwrap();
    for _ in 0..100 {
        let again = world.balancer.pick(&Request::new(world.now).tokens(&[token.as_bytes()])).unwrap();
        assert_eq!(again.upstream().name(), "app-1");
    }
}
