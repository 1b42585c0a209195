//! Thousands of membership changes in sequence, while other threads pick.
//!
//! Upstreams are numbered in the order in which they are added, and removed in the same order; each change adds one and
//! removes one, so a cluster is always a run of consecutive numbers. `HOMING_CHURN=full` makes 600,000 changes: one
//! minute at 10,000 a second.

use crate::{NOW, ring};
use homing::{Affinity, Balancer, Change, Cluster, Request, Token, Upstream, UpstreamConfig};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;

const MEMBERS: u64 = 8;
const READERS: usize = 2;

/// The number of upstreams removed last that are watched for leaks.
const WATCHED: usize = 1000;

/// The most removed upstreams that may be alive: each reader may be preempted while it holds a snapshot, and the writer
/// holds two.
const MOST_ALIVE: usize = (READERS + 2) * (MEMBERS as usize + 1);

/// The most growth of memory in bytes, far less than all removed upstreams would take.
const MOST_GROWTH: u64 = 48 << 20;

fn changes() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the size of a test is its runner's choice")]
    match std::env::var_os("HOMING_CHURN").is_some_and(|size| size == "full") {
        true => 600_000,
        false => 20_000,
    }
}

fn address(number: u64) -> String {
    format!("10.0.0.1:{number}")
}

fn config(number: u64) -> UpstreamConfig {
    UpstreamConfig::new(format!("app-{number}"), address(number))
}

fn number(upstream: &Upstream) -> u64 {
    upstream.name()[4..].parse().unwrap()
}

/// The faults that readers found.
#[derive(Default)]
struct Checker {
    /// Upstreams below this number were removed.
    left: AtomicU64,
    picks: AtomicU64,
    faults: Mutex<Vec<String>>,
}

impl Checker {
    fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }

    /// A pick must not return an upstream that was removed before it began, nor one that mixes the name and address of
    /// two.
    fn pick(&self, balancer: &Balancer, token: &mut Option<Token>) {
        let left = self.left.load(Ordering::SeqCst);
        let tokens: Vec<&[u8]> = token.as_ref().map(Token::as_bytes).into_iter().collect();
        let pick = balancer.pick(&Request::new(NOW).tokens(&tokens)).unwrap();
        self.picks.fetch_add(1, Ordering::Relaxed);
        let found = number(pick.upstream());
        if found < left {
            self.fault(format!("app-{found} was picked, and all below {left} had left"));
        }
        if pick.upstream().address() != address(found) {
            self.fault(format!("{:?} is torn", pick.upstream()));
        }
        *token = pick.token.or(token.take());
    }

    /// A snapshot is a run of consecutive numbers, all with the weight that one change set.
    fn snapshot(&self, members: impl IntoIterator<Item = (u64, u16)>) {
        let members: Vec<_> = members.into_iter().collect();
        let first = members[0];
        let run = members.iter().enumerate().all(|(i, (number, _))| *number == first.0 + i as u64);
        if !run || members.len() as u64 != MEMBERS || members.iter().any(|(_, weight)| *weight != first.1) {
            self.fault(format!("a torn snapshot: {members:?}"));
        }
    }

    fn cluster(&self, cluster: &Cluster) {
        let mut members: Vec<_> = cluster.members().iter().map(|m| (number(m.upstream()), m.weight())).collect();
        members.sort_unstable();
        self.snapshot(members);
    }
}

/// Applies one change: it removes the oldest upstream, adds one and changes all weights. Returns the removed upstream.
fn change(balancer: &Balancer, oldest: u64) -> Arc<Upstream> {
    let leaving = Arc::clone(balancer.cluster().find_name(&format!("app-{oldest}")).unwrap().upstream());
    let weight = 1 + (oldest % 3) as u16;
    let mut changes = vec![Change::Remove(format!("app-{oldest}"))];
    changes.extend((oldest + 1..=oldest + MEMBERS).map(|number| Change::Put(config(number).weight(weight))));
    balancer.apply(balancer.plan(&changes).unwrap()).unwrap();
    leaving
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).map_or(0, |pages| pages.parse::<u64>().unwrap() * 4096)
}

fn balancer(policy: &str) -> Balancer {
    let affinity = Affinity::builder(ring(0, &[])).build().unwrap();
    Balancer::builder().upstreams((0..MEMBERS).map(config)).policy(policy).affinity(affinity).build().unwrap()
}

fn alive(left: &VecDeque<Weak<Upstream>>) -> usize {
    left.iter().filter(|upstream| upstream.strong_count() > 0).count()
}

/// Changes the membership so many times beside readers.
fn churn(policy: &str, times: u64) -> Checker {
    let balancer = balancer(policy);
    let (checker, changing) = (Checker::default(), AtomicBool::new(true));
    let mut left = VecDeque::new();
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut token = None;
                while changing.load(Ordering::Relaxed) {
                    for _ in 0..50 {
                        checker.pick(&balancer, &mut token);
                    }
                    token = None;
                    checker.cluster(&balancer.cluster());
                }
            });
        }
        let mut settled = 0;
        for turn in 0..times {
            left.push_back(Arc::downgrade(&change(&balancer, turn)));
            checker.left.store(turn + 1, Ordering::SeqCst);
            if left.len() > WATCHED {
                left.pop_front();
            }
            if turn % 1000 == 999 {
                let alive = alive(&left);
                if alive > MOST_ALIVE {
                    checker.fault(format!("{alive} of the last {WATCHED} that left are alive"));
                }
            }
            if turn == times / 4 {
                settled = resident();
            }
        }
        changing.store(false, Ordering::Relaxed);
        let grown = resident().saturating_sub(settled);
        if grown > MOST_GROWTH {
            checker.fault(format!("{grown} bytes more than after a quarter of the changes"));
        }
    });
    if alive(&left) > 0 {
        checker.fault(format!("{} that left are alive after all", alive(&left)));
    }
    assert_eq!(balancer.generation().as_u64(), 1 + times);
    checker
}

#[test]
fn picks_follow_every_change_at_any_pace() {
    let checker = churn("least_conn", changes());
    assert!(checker.picks.load(Ordering::Relaxed) > 1000, "too few picks: this proves nothing");
    let faults = checker.faults();
    assert!(faults.is_empty(), "{} faults, the first: {}", faults.len(), faults[0]);
}

#[test]
fn a_pick_of_a_removed_upstream_is_noticed() {
    let (balancer, checker) = (balancer("round_robin"), Checker::default());
    // Recorded too early: app-0 is still a member.
    checker.left.store(1, Ordering::SeqCst);
    (0..MEMBERS).for_each(|_| checker.pick(&balancer, &mut None));
    assert_eq!(checker.faults().len(), 1);
    change(&balancer, 0);
    (0..MEMBERS).for_each(|_| checker.pick(&balancer, &mut None));
    assert_eq!(checker.faults().len(), 1);
}

#[test]
fn a_torn_snapshot_is_noticed() {
    for torn in [[0, 1, 2, 3, 4, 5, 6, 8].map(|n| (n, 1)), [0, 1, 2, 3, 4, 5, 6, 7].map(|n| (n, 1 + n as u16 / 7))] {
        let checker = Checker::default();
        checker.snapshot(torn);
        assert_eq!(checker.faults().len(), 1, "{torn:?}");
    }
}

#[test]
fn a_leak_is_noticed() {
    let balancer = balancer("least_conn");
    let leaked: Vec<_> = (0..2 * MOST_ALIVE as u64).map(|turn| change(&balancer, turn)).collect();
    assert!(alive(&leaked.iter().map(Arc::downgrade).collect()) > MOST_ALIVE);
}
