//! Picks from many threads, concurrent with changes and without waiting for them.

use crate::{NOW, pick, ring, upstreams};
use homing::cluster::Session;
use homing::policy::{Policy, RoundRobin};
use homing::{Affinity, Availability, Balancer, Change, Decision, PickError, Request, UpstreamConfig};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

fn affinity() -> Affinity {
    Affinity::builder(ring(0, &[1])).build().unwrap()
}

#[test]
fn picks_go_on_while_a_change_is_being_applied() {
    let inside = Arc::new(Barrier::new(2));
    let built = Arc::new(AtomicU64::new(0));
    let factory = {
        let inside = Arc::clone(&inside);
        move |cluster: &homing::Cluster| -> Box<dyn Policy> {
            // The first policy is built with the balancer; later ones stop here, in the middle of `apply` or
            // `set_keys`.
            if built.fetch_add(1, Ordering::Relaxed) > 0 {
                inside.wait();
                inside.wait();
            }
            Box::new(RoundRobin::new(cluster))
        }
    };
    let balancer =
        Balancer::builder().upstreams(upstreams(3)).policy_with(factory).affinity(affinity()).build().unwrap();
    let token = pick(&balancer, &[]).token.unwrap();
    let plan = balancer.plan(&[Change::Remove("app-3".into())]).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| balancer.apply(plan));
        inside.wait();
        // The writer is blocked until this thread passes the barrier, so a pick that waited for it would never return.
        for _ in 0..100 {
            assert_eq!(pick(&balancer, &[token.as_bytes()]).decision, Decision::Pinned);
            assert_eq!(pick(&balancer, &[]).decision, Decision::New);
        }
        assert_eq!((balancer.generation().as_u64(), balancer.cluster().len()), (1, 3));
        assert!(balancer.plan(&[Change::Remove("app-1".into())]).is_ok());
        inside.wait();
        assert_eq!(writer.join().unwrap().unwrap().as_u64(), 2);
    });
    assert_eq!(balancer.cluster().len(), 2);
}

#[test]
fn every_lease_is_returned_during_concurrent_changes() {
    const THREADS: usize = 4;
    const CHANGES: u64 = 200;
    let configs = upstreams(4).into_iter().map(|u| u.max_in_flight(1000)).collect::<Vec<_>>();
    let balancer = Balancer::builder().upstreams(configs).policy("p2c").affinity(affinity()).build().unwrap();
    let cells: Vec<_> = balancer.cluster().members().iter().map(|m| Arc::clone(m.upstream())).collect();
    let changing = AtomicBool::new(true);
    let picked = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut held = std::collections::VecDeque::new();
                let mut token = None;
                while changing.load(Ordering::Relaxed) {
                    let tokens: Vec<&[u8]> = token.as_ref().map(homing::Token::as_bytes).into_iter().collect();
                    let pick = balancer.pick(&Request::new(NOW).tokens(&tokens)).unwrap();
                    token = if held.len() % 7 == 0 { None } else { pick.token.or(token) };
                    held.push_back(pick);
                    picked.fetch_add(1, Ordering::Relaxed);
                    if held.len() > 20 {
                        held.pop_front();
                    }
                }
            });
        }
        // Limits are set and removed, so that both ways to count a lease race on the same upstream.
        for turn in 0..CHANGES {
            let limit = if turn % 2 == 0 { 0 } else { 1000 };
            let put = |name: &str| {
                let address = format!("10.0.0.{}:8080", &name[4..]);
                Change::Put(UpstreamConfig::new(name, address).max_in_flight(limit))
            };
            let changes = [put("app-1"), put("app-2"), put("app-3"), put("app-4")];
            balancer.apply(balancer.plan(&changes).unwrap()).unwrap();
            balancer.set_keys(if turn % 2 == 0 { ring(1, &[0]) } else { ring(0, &[1]) }).unwrap();
        }
        changing.store(false, Ordering::Relaxed);
    });
    assert!(cells.iter().all(|cell| cell.in_flight() == 0), "leases were left over: {cells:?}");
    let total: u64 = cells.iter().map(|cell| cell.total()).sum();
    assert_eq!(total, picked.load(Ordering::Relaxed), "a lease was lost or counted twice");
    let decided: u64 = cells.iter().flat_map(|cell| Decision::all().map(|d| cell.decided(d))).sum();
    assert_eq!(decided, total);
    assert_eq!(balancer.generation().as_u64(), 1 + 2 * CHANGES);
}

#[test]
fn one_of_racing_writers_wins_each_generation() {
    let balancer = Balancer::builder().upstreams(upstreams(2)).build().unwrap();
    let applied = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (balancer, applied) = (&balancer, &applied);
            scope.spawn(move || {
                for turn in 0..200 {
                    let put = Change::Put(UpstreamConfig::new(format!("app-{thread}-{turn}"), "10.0.0.1:80"));
                    if balancer.apply(balancer.plan(&[put]).unwrap()).is_ok() {
                        applied.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let applied = applied.into_inner();
    assert_eq!(balancer.generation().as_u64(), 1 + applied, "every change that was applied is a generation");
    assert_eq!(balancer.cluster().len() as u64, 2 + applied, "an applied change was overwritten");
}

/// There are as many threads as places, and each holds one place at most, so every pick finds a place.
#[test]
fn no_pick_is_refused_while_there_is_room() {
    const THREADS: usize = 8;
    for policy in homing::policy::registry() {
        let configs = upstreams(THREADS).into_iter().map(|u| u.max_in_flight(1));
        let balancer = Balancer::builder().upstreams(configs).policy(policy.name).build().unwrap();
        let start = Barrier::new(THREADS);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..2000 {
                        let pick = balancer.pick(&Request::new(NOW)).unwrap();
                        assert!(pick.upstream().in_flight() <= 1);
                    }
                });
            }
        });
    }
}

/// Always returns the first upstream, as if another thread took its last place after each check.
#[derive(Debug)]
struct Late;

impl Policy for Late {
    fn place(&self, _: &homing::Cluster, _: &Session<'_>) -> Option<usize> {
        Some(0)
    }
}

#[test]
fn a_pick_that_loses_every_race_still_finds_a_free_place() {
    let configs = upstreams(3).into_iter().map(|u| u.max_in_flight(1));
    let balancer = Balancer::builder().upstreams(configs).policy_with(|_| Box::new(Late)).build().unwrap();
    let held: Vec<_> = (0..3).map(|_| pick(&balancer, &[])).collect();
    assert_eq!(held[0].upstream().name(), "app-1");
    assert_ne!(held[1].upstream().name(), held[2].upstream().name());
    assert!(matches!(balancer.pick(&Request::new(NOW)), Err(PickError::Full)));
}

#[test]
fn a_limit_holds_among_racing_threads() {
    const LIMIT: u32 = 3;
    let config = UpstreamConfig::new("app-1", "10.0.0.1:80").max_in_flight(LIMIT);
    let balancer = Balancer::builder().upstream(config).build().unwrap();
    let (held, most, refused) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    match balancer.pick(&Request::new(NOW)) {
                        Ok(_lease) => {
                            most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            thread::yield_now();
                            held.fetch_sub(1, Ordering::SeqCst);
                        }
                        Err(PickError::Full) => {
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= u64::from(LIMIT));
    assert_eq!(balancer.cluster().members()[0].upstream().in_flight(), 0);
}

fn many() -> Vec<UpstreamConfig> {
    (0..300).map(|i| UpstreamConfig::new(format!("app-{i}"), "10.0.0.1:80")).collect()
}

fn loads(balancer: &Balancer) -> Vec<u32> {
    balancer.cluster().members().iter().map(|m| m.upstream().in_flight()).collect()
}

/// The difference between the highest and the lowest load after threads took leases concurrently and kept them.
fn spread_after_a_rush(policy: &str, threads: usize) -> u32 {
    let balancer = Balancer::builder().upstreams(many()).policy(policy).build().unwrap();
    let start = Barrier::new(threads);
    let held: Vec<Vec<_>> = thread::scope(|scope| {
        let rush = || {
            start.wait();
            (0..5000).map(|_| pick(&balancer, &[])).collect()
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(rush)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let loads = loads(&balancer);
    drop(held);
    loads.iter().max().unwrap() - loads.iter().min().unwrap()
}

/// Each thread may have searched before the others took the upstream that it found, so the error is one per thread.
#[test]
fn least_conn_errs_by_at_most_one_per_racing_thread() {
    for threads in [1, 4, 8] {
        let spread = spread_after_a_rush("least_conn", threads);
        assert!(spread as usize <= threads, "{spread} apart with {threads} threads");
    }
    // The control: the better of two is not the least of all.
    assert!(spread_after_a_rush("p2c", 1) > 1);
}

/// Leases, availability, weights and members change concurrently; afterwards every upstream is found.
#[test]
fn no_upstream_is_lost_from_the_load_index_during_concurrent_changes() {
    let balancer = Balancer::builder().upstreams(many()).policy("least_conn").build().unwrap();
    let changing = AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..3 {
            let (balancer, changing) = (&balancer, &changing);
            scope.spawn(move || {
                let mut held = std::collections::VecDeque::new();
                for turn in seed.. {
                    held.push_back(pick(balancer, &[]));
                    if turn % 5 == 0 {
                        let upstream = held[held.len() / 2].upstream();
                        upstream.set_availability(Availability::DRAINING);
                        upstream.set_availability(Availability::ACTIVE);
                    }
                    while held.len() > 500 + turn % 400 {
                        held.pop_front();
                    }
                    if !changing.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for turn in 0..60_u16 {
            let weight = |i: u16| 1 + (i + turn) % 3;
            let put = |i: u16| Change::Put(UpstreamConfig::new(format!("app-{i}"), "10.0.0.1:80").weight(weight(i)));
            // One upstream is removed, and added again with the next change.
            let gone = turn * 7 % 300;
            let mut changes: Vec<Change> = (0..300).filter(|i| *i != gone).map(put).collect();
            changes.push(Change::Remove(format!("app-{gone}")));
            balancer.apply(balancer.plan(&changes).unwrap()).unwrap();
        }
        changing.store(false, Ordering::Relaxed);
    });
    let changes: Vec<Change> = many().into_iter().map(Change::Put).collect();
    balancer.apply(balancer.plan(&changes).unwrap()).unwrap();
    assert_eq!(loads(&balancer), [0; 300]);
    for round in 1..=3 {
        let held: Vec<_> = (0..300 * round).map(|_| pick(&balancer, &[])).collect();
        assert_eq!(loads(&balancer), [round; 300]);
        drop(held);
    }
}
