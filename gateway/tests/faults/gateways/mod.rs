//! Three gateways that share what they know in etcd, in front of instances that register themselves: all of them real
//! processes, and all of it under load.
//!
//! `cargo test -p homing-gateway --test faults gateways` needs the program `homing` and the example `faults`, which `cargo test` builds, and an
//! etcd. Linux only.

mod crowd;
mod gate;
mod keys;
mod starts;

use crate::fleet::Fleet;
use crate::judge::{Report, moves};
use crate::mode::Mode;
use crate::record;
use crate::session::{Link, Session};
use crate::support::etcd::{self, Etcd};
use crate::support::test;
use crowd::{Crowd, Fronts, Ledger};
use gate::{Gate, settings};
use keys::{Use, key_of, keys};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const INSTANCES: usize = 5;
const SESSIONS: u32 = 300;

/// New sessions after an instance is added, and how many start at a time.
const NEWCOMERS: u32 = 150;
const BATCH: u32 = 30;

/// Visits take some milliseconds, so that some are under way whatever happens.
const AT_WORK: Mode = Mode::Slow(5);

/// Ends a test that hangs. No test measures time by it.
const GUARD: Duration = Duration::from_secs(90);

/// Waits until `holds` has no objection.
async fn until<T>(what: &str, mut holds: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + GUARD;
    loop {
        match holds() {
            Ok(value) => return value,
            Err(against) => assert!(Instant::now() < end, "waited in vain: {what}: {against}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn check(holds: bool, against: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(against()) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// How many sessions live where, as each gateway says and as it is: the gateways' totals where they are within 3 % of each
/// other and of the truth, and so is each instance, or within three sessions.
fn agreement(gates: &[Gate], ledger: &Ledger) -> Result<Vec<usize>, String> {
    let told: Vec<BTreeMap<String, usize>> = gates.iter().map(Gate::live).collect();
    let truth = ledger.live(gate::WINDOW);
    let is_near =
        |one: usize, other: usize, slack: usize| one.abs_diff(other) * 100 <= (3 * one.max(other)).max(slack * 100);
    let against = || format!("{told:?}, in truth {truth:?}");
    let totals: Vec<usize> = told.iter().map(|told| told.values().sum()).collect();
    let all = truth.values().sum();
    check(
        totals.iter().all(|one| is_near(*one, all, 0) && totals.iter().all(|other| is_near(*one, *other, 0))),
        against,
    )?;
    for (instance, lives) in &truth {
        let counts: Vec<usize> = told.iter().map(|told| told.get(instance).copied().unwrap_or_default()).collect();
        check(counts.iter().all(|count| is_near(*count, *lives, 3)), against)?;
    }
    Ok(totals)
}

#[test]
fn three_gateways_are_one() {
    let _beside = crate::together();
    if etcd::is_here() {
        runtime().block_on(three_gateways());
    }
}

async fn three_gateways() {
    let began = Instant::now();
    let mut etcd = Etcd::start();
    etcd.put("/homing/keys", &keys(&[(1, Use::Sign)]));
    let mut fleet = Fleet::registered(INSTANCES, AT_WORK, &etcd.endpoint());
    until("all have registered", || check(etcd.count("/homing/upstreams/") == INSTANCES as u64, String::new)).await;
    let config = settings(&etcd.endpoint(), "200ms");
    let mut gates: Vec<Gate> = (0..3).map(|_| Gate::start(&config)).collect();
    let fronts = Fronts::of(&gates);
    let ledger = Ledger::default();
    let mut crowd = Crowd::new(&fronts, &ledger);
    crowd.join(0..SESSIONS);
    crowd.visits(2).await;
    let mut counts = vec![until("the first count", || agreement(&gates, &ledger)).await];

    // A gateway is killed, and returns at another port. Only visits through it, or to its closed port, may fail.
    let killed = record::now();
    drop(gates.remove(1));
    fronts.set(1, None);
    let gone = record::now();
    crowd.visits(2).await;
    gates.insert(1, Gate::start(&config));
    fronts.set(1, Some(gates[1].address()));
    counts.push(until("the count of one that is back", || agreement(&gates, &ledger)).await);
    crowd.visits(1).await;

    // An override set at one gateway applies to all.
    gates[0].post("/api/v1/upstreams/app-2/drain").expect("drain");
    for gate in &gates {
        until("all drain", || check(gate.state("app-2") == "draining", || gate.state("app-2"))).await;
    }
    for number in 0..20 {
        let mut newcomer = Session::new((1 << 20) + number);
        let front = fronts.all()[number as usize % 3];
        let visit = newcomer.visit(&mut Link::new(front)).await;
        assert!(visit.instance().is_some_and(|instance| instance != "app-2"), "{visit:?}");
        ledger.note(&visit);
    }

    // Etcd is killed: they go on and say so, and refuse what they could not tell each other.
    etcd.kill();
    for gate in &gates {
        until("they say so", || check(gate.log().contains("the last known state stays in force"), || gate.log())).await;
    }
    crowd.visits(2).await;
    let refused = gates[0].post("/api/v1/upstreams/app-2/resume").expect_err("a resume without etcd");
    assert!(refused.contains("etcd is unreachable"), "{refused}");
    assert!(gates.iter().all(|gate| gate.state("app-2") == "draining"));
    assert!(gates.iter().all(|gate| gate.metrics().contains("\nhoming_discovery_up 0\n")));
    etcd.revive();
    for gate in &gates {
        until("they say that too", || check(gate.log().contains("the source responds again"), || gate.log())).await;
    }
    assert!(gates.iter().all(|gate| gate.metrics().contains("\nhoming_discovery_up 1\n")));
    gates[2].post("/api/v1/upstreams/app-2/resume").expect("resume");
    for gate in &gates {
        until("all resume", || check(gate.state("app-2") != "draining", || gate.state("app-2"))).await;
    }
    counts.push(until("the count after etcd was away", || agreement(&gates, &ledger)).await);

    // An instance is added, and takes its share of new sessions.
    let added = fleet.join();
    for gate in &gates {
        until("all have it", || check(gate.accepts(&added), || gate.log())).await;
    }
    for batch in 0..NEWCOMERS / BATCH {
        crowd.join(SESSIONS + batch * BATCH..SESSIONS + (batch + 1) * BATCH);
        crowd.visits(1).await;
    }
    counts.push(until("the count of six", || agreement(&gates, &ledger)).await);

    // Another key: all can verify it before any signs with it, and the last one is not retired while a session uses it.
    for (step, ring) in
        [(1, &[(1, Use::Sign), (2, Use::Verify)][..]), (2, &[(1, Use::Verify), (2, Use::Sign)]), (3, &[(2, Use::Sign)])]
    {
        etcd.put("/homing/keys", &keys(ring));
        for gate in &gates {
            let taken = || gate.log().matches("keys replaced").count();
            until("all take the keys", || check(taken() == step, || gate.log())).await;
        }
        crowd.visits(2).await;
    }
    counts.push(until("the last count", || agreement(&gates, &ledger)).await);

    let (sessions, visits) = crowd.stop().await;
    let visits_and_fronts = visits;
    let cut = |id: &str| {
        let broken = |seen: &&crowd::Seen| {
            seen.front == 1 && seen.visit.began <= gone && seen.visit.ended >= killed && seen.visit.id == id
        };
        visits_and_fronts.iter().any(|seen| broken(&seen))
    };
    let visits: Vec<_> = visits_and_fronts.iter().map(|seen| seen.visit.clone()).collect();
    let report = Report::of_answers(&visits, &fleet.journals(), |visit| cut(&visit.id));
    let moved = moves(&visits);
    let share = sessions.iter().filter(|session| session.home.as_deref() == Some(&*added)).count();
    let fair = (SESSIONS + NEWCOMERS) as usize / (INSTANCES + 1);
    println!(
        "fleet: {} visits over 3 gateways in {} s, {} cut by the kill, {} moved; counts {counts:?}; {added} has {share}, fair is {fair}",
        report.visits,
        began.elapsed().as_secs(),
        visits.iter().filter(|visit| visit.instance().is_none()).count(),
        moved.len(),
    );
    let faults = [report.failed_gets, report.failed_posts, report.wrong, report.repeated_posts, report.unknown];
    assert_eq!(faults, [0; 5], "{report:#?}");
    assert!(moved.is_empty(), "nobody changes instance: {moved:#?}");
    assert!((fair * 3 / 4..=fair * 5 / 4).contains(&share), "{added} has {share} of {fair}");
    let signers: Vec<_> = sessions.iter().map(key_of).filter(|key| *key != Some(2)).collect();
    assert!(signers.is_empty(), "all have tokens of the new key, but {signers:?}");
}

/// The judge's control: gateways that do not share their live sessions.
#[test]
fn without_sketches_each_sees_a_part() {
    let _beside = crate::together();
    if !etcd::is_here() {
        return;
    }
    runtime().block_on(async {
        let etcd = Etcd::start();
        etcd.put("/homing/keys", &keys(&[(1, Use::Sign)]));
        let _fleet = Fleet::registered(INSTANCES, AT_WORK, &etcd.endpoint());
        until("all have registered", || check(etcd.count("/homing/upstreams/") == INSTANCES as u64, String::new)).await;
        let config = settings(&etcd.endpoint(), "0s");
        let gates: Vec<Gate> = (0..3).map(|_| Gate::start(&config)).collect();
        let ledger = Ledger::default();
        let mut crowd = Crowd::new(&Fronts::of(&gates), &ledger);
        crowd.join(0..SESSIONS);
        crowd.visits(2).await;
        for _ in 0..20 {
            let counts = agreement(&gates, &ledger);
            assert!(counts.is_err(), "each saw all of it: {counts:?}");
            crowd.visits(0).await;
        }
        crowd.stop().await;
    });
}

/// The judge's control: a gateway with keys of its own.
#[test]
fn with_other_keys_on_one_gateway_sessions_stray() {
    let _beside = crate::together();
    if !etcd::is_here() {
        return;
    }
    runtime().block_on(async {
        let etcd = Etcd::start();
        etcd.put("/homing/keys", &keys(&[(1, Use::Sign)]));
        etcd.put("/other/keys", &keys(&[(2, Use::Sign)]));
        let fleet = Fleet::registered(INSTANCES, AT_WORK, &etcd.endpoint());
        until("all have registered", || check(etcd.count("/homing/upstreams/") == INSTANCES as u64, String::new)).await;
        for instance in &fleet.instances {
            let value = etcd.get(&format!("/homing/upstreams/{}", instance.name)).expect("an upstream");
            etcd.put(&format!("/other/upstreams/{}", instance.name), &value);
        }
        let config = settings(&etcd.endpoint(), "200ms");
        let gates = [&config, &config, &config.replace("\"/homing\"", "\"/other\"")].map(|config| Gate::start(config));
        let mut crowd = Crowd::new(&Fronts::of(&gates), &Ledger::default());
        crowd.join(0..60);
        crowd.visits(5).await;
        let (_, visits) = crowd.stop().await;
        let visits: Vec<_> = visits.into_iter().map(|seen| seen.visit).collect();
        let moved = moves(&visits).len();
        assert!(moved > 0, "its tokens are nothing to the others, nor theirs to it");
    });
}
