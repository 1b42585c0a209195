//! A pick allocates nothing and frees nothing, under every policy and with every decision.
//!
//! Calls of the allocator are counted per thread, so concurrent tests do not disturb each other. The first pick of a
//! thread is exempt: arc-swap allocates the thread's slots then, once.
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use homing::affinity::{AcceptedCookie, LegacyCookie, LegacyFormat, Rebalance};
use homing::health::{Failover, Outcome};
use homing::rng::{OsEntropy, SeededEntropy};
use homing::{
    Affinity, Availability, Balancer, Decision, HealthSettings, KeyRing, OnUnavailable, PickError, PinLoss, Request,
    Timestamp, UpstreamConfig, Wait, policy,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The system's allocator, with a count of the calls of each thread.
struct Counting;

thread_local! {
    // Neither lazy nor dropped, so the allocator can use it at any time.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: every call is passed on to `System` with unchanged arguments, and `System` upholds the contract; counting
// neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `System::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count();
        // SAFETY: the block came from `System`, like all blocks of this allocator, and has this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`, and the caller passes a valid size.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The number of allocator calls that `work` makes.
fn calls<T>(work: impl FnOnce() -> T) -> u64 {
    let before = CALLS.get();
    drop(black_box(work()));
    CALLS.get() - before
}

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));

fn upstreams() -> impl Iterator<Item = UpstreamConfig> {
    (1..=20_u16).map(|i| UpstreamConfig::new(format!("app-{i}"), "10.0.0.1:80").weight(i).max_in_flight(2))
}

fn affinity(choice: OnUnavailable) -> Affinity {
    let keys = KeyRing::builder("pool", [1; 32]).sign_with(0, [2; 32]).build().unwrap();
    Affinity::builder(keys).on_unavailable(choice).build().unwrap()
}

/// A balancer with this policy, after the first pick of this thread.
fn bound(policy: &str, choice: OnUnavailable) -> Balancer {
    let balancer = Balancer::builder()
        .upstreams(upstreams())
        .policy(policy)
        .affinity(affinity(choice))
        .health(HealthSettings::default().failover(Failover::default().rate(0).return_timeout(Duration::ZERO)))
        .entropy(SeededEntropy::new(1))
        .build()
        .unwrap();
    drop(balancer.pick(&Request::new(NOW)));
    balancer
}

#[test]
fn the_counter_counts() {
    assert_eq!(calls(|| ()), 0);
    assert_eq!(calls(|| Box::new(1)), 2, "one to allocate, one to free");
    assert_eq!(calls(Vec::<u8>::new), 0);
    assert_eq!(calls(|| vec![0_u8; 10]), 2);
    let mut vec = Vec::with_capacity(1);
    assert!(calls(|| vec.extend([1, 2, 3])) > 0);
    // The calls of another thread are counted there.
    assert_eq!(std::thread::scope(|s| s.spawn(|| calls(|| Box::new(1))).join().unwrap()), 2);
    // A change of the cluster does allocate: the same counter around the same balancer.
    let balancer = bound("p2c", OnUnavailable::Repin);
    let put = homing::Change::Put(UpstreamConfig::new("more", "10.0.0.1:80"));
    assert!(calls(|| balancer.apply(balancer.plan(&[put]).unwrap())) > 20);
}

#[test]
fn no_pick_allocates() {
    for entry in policy::registry() {
        let balancer = bound(entry.name, OnUnavailable::Repin);
        let check = |what: &str, request: &Request<'_>, decision: Decision| {
            for _ in 0..100 {
                let count = calls(|| assert_eq!(balancer.pick(request).unwrap().decision, decision));
                assert_eq!(count, 0, "{}: {what}", entry.name);
            }
        };
        let first = balancer.pick(&Request::new(NOW).client(CLIENT)).unwrap();
        let token = first.token.unwrap();
        let pinned = first.upstream().clone();
        drop(first);
        let tokens = [token.as_bytes()];
        let later = NOW.after(Duration::from_secs(600));

        check("new", &Request::new(NOW).client(CLIENT), Decision::New);
        check("pinned", &Request::new(NOW).tokens(&tokens), Decision::Pinned);
        check("pinned and sent again", &Request::new(later).tokens(&tokens), Decision::Pinned);
        check("malformed", &Request::new(NOW).tokens(&[b"nonsense"]), Decision::PinLost(PinLoss::Malformed));
        let tried = [pinned.id()];
        check("tried", &Request::new(NOW).tokens(&tokens).tried(&tried), Decision::PinLost(PinLoss::NotServing));
        pinned.set_availability(Availability::DOWN);
        check("failover target", &Request::new(NOW).tokens(&tokens), Decision::PinLost(PinLoss::NotServing));
        pinned.set_availability(Availability::ACTIVE);
        balancer.drain(pinned.name(), Some(Duration::ZERO), NOW).unwrap();
        let left = NOW.after(HealthSettings::default().drain_spread);
        check("drained", &Request::new(left).tokens(&tokens), Decision::PinLost(PinLoss::Drained));

        for member in balancer.cluster().members() {
            member.upstream().set_availability(Availability::DOWN);
        }
        let refused = || assert!(matches!(balancer.pick(&Request::new(NOW)), Err(PickError::Unavailable)));
        assert_eq!(calls(refused), 0, "{}: unavailable", entry.name);
    }
}

#[test]
fn no_migration_allocates() {
    let accepted = [
        AcceptedCookie::new(LegacyFormat::HaProxy, "SRV"),
        AcceptedCookie::new(LegacyFormat::NginxRoute, "JSESSIONID"),
    ];
    let keys = KeyRing::builder("pool", [1; 32]).sign_with(0, [2; 32]).build().unwrap();
    let balancer = Balancer::builder()
        .upstreams(upstreams())
        .affinity(Affinity::builder(keys).accept(accepted).build().unwrap())
        .entropy(SeededEntropy::new(1))
        .build()
        .unwrap();
    drop(balancer.pick(&Request::new(NOW)));
    let long = [b'.'; 5000];
    for (value, decision) in [
        (&b"app-7|awQ5e"[..], Decision::Pinned),
        (b"2B6F.app-7", Decision::New),
        (b"strange", Decision::New),
        (&long, Decision::New),
    ] {
        let legacy_cookies = [LegacyCookie { accept: 0, value }];
        let request = Request::new(NOW).legacy_cookies(&legacy_cookies);
        assert_eq!(calls(|| assert_eq!(balancer.pick(&request).unwrap().decision, decision)), 0, "{decision}");
        let legacy_cookies = [LegacyCookie { accept: 1, value }];
        assert_eq!(calls(|| balancer.pick(&Request::new(NOW).legacy_cookies(&legacy_cookies)).map(drop).unwrap()), 0);
    }
}

#[test]
fn no_refusal_allocates() {
    for entry in policy::registry() {
        let balancer = bound(entry.name, OnUnavailable::Reject);
        let first = balancer.pick(&Request::new(NOW)).unwrap();
        let token = first.token.unwrap();
        let mut held = vec![first];
        while let Ok(pick) = balancer.pick(&Request::new(NOW)) {
            held.push(pick);
        }
        assert_eq!(held.len(), 40);
        let full = || assert!(matches!(balancer.pick(&Request::new(NOW)), Err(PickError::Full)));
        assert_eq!(calls(full), 0, "{}: full", entry.name);
        let request = Request::new(NOW);
        let tokens = [token.as_bytes()];
        let rejected = || assert!(matches!(balancer.pick(&request.tokens(&tokens)), Err(PickError::Rejected(_))));
        assert_eq!(calls(rejected), 0, "{}: rejected", entry.name);
    }
}

#[test]
fn no_waiting_allocates() {
    for (failover, reason) in [
        (Failover::default().rate(0).return_timeout(Duration::from_secs(5)), Wait::UpstreamReturn),
        (Failover::default().rate(1).return_timeout(Duration::ZERO), Wait::Admission),
    ] {
        let balancer = Balancer::builder()
            .upstreams(upstreams().take(2))
            .affinity(affinity(OnUnavailable::Repin))
            .health(HealthSettings::default().failover(failover))
            .build()
            .unwrap();
        let first = balancer.pick(&Request::new(NOW)).unwrap();
        let token = first.token.unwrap();
        balancer.report(first.upstream(), Outcome::ConnectRefused, NOW);
        let tokens = [token.as_bytes()];
        // With a rate, the first session is admitted.
        drop(balancer.pick(&Request::new(NOW).tokens(&tokens)));
        let waits = || match balancer.pick(&Request::new(NOW).tokens(&tokens)) {
            Err(PickError::Later { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        let mut told = None;
        assert_eq!(calls(|| told = Some(waits())), 0, "{reason}");
        assert_eq!(told, Some(reason));
    }
}

#[test]
fn no_pick_allocates_during_slow_start() {
    for entry in policy::registry() {
        let balancer = bound(entry.name, OnUnavailable::Repin);
        balancer.tick(NOW);
        let more = (0..10).map(|i| homing::Change::Put(UpstreamConfig::new(format!("new-{i}"), "10.0.0.1:80")));
        balancer.apply(balancer.plan(&more.collect::<Vec<_>>()).unwrap()).unwrap();
        let now = NOW.after(Duration::from_secs(1));
        balancer.tick(now);
        let mut spared = 0;
        for key in 0..200_u32 {
            let key = key.to_be_bytes();
            let request = Request::new(now).client(IpAddr::V4(key.into())).key(&key);
            spared += u32::from(balancer.explain(&request).to_string().contains("in slow start"));
            assert_eq!(calls(|| balancer.pick(&request).map(drop).unwrap()), 0, "{}", entry.name);
        }
        assert!(spared > 100, "{}: no upstream is in slow start", entry.name);
    }
}

#[test]
fn no_move_allocates() {
    let balancer = Balancer::builder()
        .upstreams(upstreams().take(1).map(|upstream| upstream.max_in_flight(0)))
        .affinity(affinity(OnUnavailable::Repin))
        .rebalance(Rebalance::default().budget_per_minute(60_000))
        .veto(|candidate| candidate.session_id.is_multiple_of(8))
        .build()
        .unwrap();
    let tokens: Vec<_> = (0..300).map(|_| balancer.pick(&Request::new(NOW)).unwrap().token.unwrap()).collect();
    let more = homing::Change::Put(UpstreamConfig::new("more", "10.0.0.1:80"));
    balancer.apply(balancer.plan(&[more]).unwrap()).unwrap();
    balancer.tick(NOW);
    let (mut moved, later) = (0, NOW.after(Duration::from_secs(1)));
    for token in &tokens {
        let tokens = [token.as_bytes()];
        let mut decision = None;
        let request = Request::new(later).tokens(&tokens);
        assert_eq!(calls(|| decision = balancer.pick(&request).ok().map(|pick| pick.decision)), 0);
        moved += usize::from(decision == Some(Decision::PinLost(PinLoss::Rebalanced)));
    }
    assert!((10..200).contains(&moved), "{moved} moved");
}

#[test]
fn no_pick_without_affinity_allocates() {
    for entry in policy::registry() {
        let balancer = Balancer::builder().upstreams(upstreams()).policy(entry.name).build().unwrap();
        drop(balancer.pick(&Request::new(NOW)));
        let now = Request::new(NOW);
        let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        for request in [now, now.client(CLIENT), now.client(v6), now.key(b""), now.key(&[b'k'; 100])] {
            let count = calls(|| balancer.pick(&request).map(drop).unwrap());
            assert_eq!(count, 0, "{}: {request:?}", entry.name);
        }
    }
}

#[test]
fn no_pick_from_a_large_cluster_allocates() {
    let many = || (0..300).map(|i| UpstreamConfig::new(format!("app-{i}"), "10.0.0.1:80").weight(1 + i % 3));
    for entry in policy::registry() {
        let balancer = Balancer::builder().upstreams(many()).policy(entry.name).build().unwrap();
        drop(balancer.pick(&Request::new(NOW)));
        for member in balancer.cluster().members().iter().step_by(2) {
            assert_eq!(calls(|| member.upstream().set_availability(Availability::DOWN)), 0, "{}", entry.name);
        }
        let mut held = Vec::with_capacity(1000);
        let count = calls(|| {
            for _ in 0..1000 {
                held.push(balancer.pick(&Request::new(NOW).client(CLIENT)).unwrap());
            }
        });
        assert_eq!(count, 0, "{}: taken", entry.name);
        assert_eq!(calls(|| held.clear()), 0, "{}: dropped", entry.name);
    }
}

#[test]
#[cfg(feature = "http")]
fn no_pick_from_a_cookie_header_allocates() {
    use homing::http::{CookieName, cookie};
    let name = CookieName::new("homing").unwrap();
    let balancer = bound("least_conn", OnUnavailable::Repin);
    let token = balancer.pick(&Request::new(NOW)).unwrap().token.unwrap();
    let header = format!("theme=dark; homing=old; homing={}; lang=en", token.as_str());
    let count = calls(|| {
        let tokens = cookie::tokens([header.as_bytes()], &name);
        assert_eq!(balancer.pick(&Request::new(NOW).tokens(&tokens)).unwrap().decision, Decision::Pinned);
    });
    assert_eq!(count, 0);
}

#[test]
fn no_pick_with_os_randomness_allocates() {
    let affinity = affinity(OnUnavailable::Repin);
    let balancer = Balancer::builder().upstreams(upstreams()).affinity(affinity).entropy(OsEntropy).build().unwrap();
    drop(balancer.pick(&Request::new(NOW)));
    assert_eq!(calls(|| balancer.pick(&Request::new(NOW)).map(drop).unwrap()), 0);
}
