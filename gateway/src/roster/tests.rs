//! Against a naive model that works the whole cluster out anew from the inputs, and by hand where the model lacks a
//! feature.

use super::handle::configs;
use super::*;
use homing::Balancer;
use homing::cluster::{ApplyError, Change, ClusterError, PlanError, UpstreamConfig};
use homing::health::{HealthSettings, SlowStart, State as HealthState};
use homing::time::Timestamp;
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
const TTL: Duration = Duration::from_secs(15);
const SPREAD: Duration = Duration::from_secs(3);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn upstream(name: &str, address: &str) -> UpstreamConfig {
    UpstreamConfig::new(name, address)
}

fn balancer(base: &[UpstreamConfig]) -> Arc<Balancer> {
    let slow_start = SlowStart::default().window(Duration::ZERO);
    let settings = HealthSettings::default().slow_start(slow_start).drain_spread(SPREAD);
    Arc::new(Balancer::builder().upstreams(base.iter().cloned()).health(settings).build().unwrap())
}

/// A store in memory that can be made to fail.
#[derive(Clone, Default)]
struct Shelf(Arc<Kept>);

#[derive(Default)]
struct Kept {
    fails: AtomicBool,
    fails_at_registrations: AtomicBool,
    state: Mutex<RosterState>,
}

impl RosterStore for Shelf {
    fn save(&self, changed: &[(&str, Option<&Override>)], all: &Overrides) -> Result<(), StoreError> {
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(StoreError::new("the disk is full"));
        }
        let mut state = self.0.state.lock();
        for (name, override_) in changed {
            match override_ {
                Some(override_) => state.overrides.insert((*name).to_owned(), (*override_).clone()),
                None => state.overrides.remove(*name),
            };
        }
        assert_eq!(&state.overrides, all, "what changed makes all there is");
        Ok(())
    }

    fn save_registrations(&self, all: &Registrations) -> Result<(), StoreError> {
        if self.0.fails.load(Ordering::Relaxed) || self.0.fails_at_registrations.load(Ordering::Relaxed) {
            return Err(StoreError::new("the disk is full"));
        }
        self.0.state.lock().registered.clone_from(all);
        Ok(())
    }
}

impl Shelf {
    fn fail(&self, fails: bool) {
        self.0.fails.store(fails, Ordering::Relaxed);
    }

    fn state(&self) -> RosterState {
        self.0.state.lock().clone()
    }
}

struct Stage {
    roster: Roster,
    shelf: Shelf,
    now: Timestamp,
}

impl Stage {
    fn new(base: &[UpstreamConfig]) -> Self {
        let shelf = Shelf::default();
        let roster = Roster::new(balancer(base)).store(shelf.clone());
        roster.balancer().tick(START);
        Self { roster, shelf, now: START }
    }

    /// Two: app-1 and app-2.
    fn pair() -> Self {
        Self::new(&[upstream("app-1", "a:1"), upstream("app-2", "a:2")])
    }

    fn members(&self) -> Vec<UpstreamConfig> {
        configs(&self.roster.balancer().cluster())
    }

    fn names(&self) -> Vec<String> {
        self.members().into_iter().map(|config| config.name).collect()
    }

    fn is_draining(&self, name: &str) -> bool {
        let status = self.roster.balancer().status();
        let status = status.iter().find(|status| status.name == name).unwrap();
        status.state == HealthState::Draining
    }

    fn put(&self, config: UpstreamConfig) {
        self.roster.change(&[Change::Put(config)], None, self.now).unwrap();
    }

    fn remove(&self, name: &str) {
        self.roster.change(&[Change::Remove(name.to_owned())], None, self.now).unwrap();
    }

    /// Second by second, as a host does.
    fn wait(&mut self, secs: u64) {
        for _ in 0..secs {
            self.now = self.now.after(Duration::from_secs(1));
            self.roster.balancer().tick(self.now);
            self.roster.tick(self.now).unwrap();
        }
    }

    /// As after a restart of the process: the same configuration, and what was kept.
    fn restarted(&self, base: &[UpstreamConfig]) -> Self {
        let shelf = self.shelf.clone();
        let roster = Roster::new(balancer(base)).store(shelf.clone());
        roster.balancer().tick(self.now);
        // As it is read from a file.
        let text = serde_json::to_string(&shelf.state()).unwrap();
        roster.restore(serde_json::from_str(&text).unwrap(), self.now).unwrap();
        Self { roster, shelf, now: self.now }
    }
}

#[test]
fn an_operators_weight_outlives_a_reload_and_an_address_that_moves() {
    let stage = Stage::pair();
    stage.put(upstream("app-1", "a:1").weight(7));
    stage.roster.set_base(vec![upstream("app-2", "a:2"), upstream("app-1", "b:1")], stage.now).unwrap();
    assert_eq!(stage.members(), [upstream("app-2", "a:2"), upstream("app-1", "b:1").weight(7)], "in the base's order");
    let about = stage.roster.upstream("app-1").unwrap();
    assert_eq!(about.origin, Origin::Configured);
}

#[test]
fn what_an_operator_added_or_removed_outlives_a_reload() {
    let stage = Stage::pair();
    stage.put(upstream("app-9", "a:9"));
    stage.remove("app-1");
    stage
        .roster
        .set_base(vec![upstream("app-1", "a:1"), upstream("app-2", "a:2"), upstream("app-3", "a:3")], stage.now)
        .unwrap();
    assert_eq!(stage.names(), ["app-2", "app-3", "app-9"]);
    assert_eq!(stage.roster.upstream("app-9").unwrap().origin, Origin::Operator);
    assert_eq!(stage.roster.upstream("app-1"), None);
}

#[test]
fn overrides_that_change_nothing_are_dropped() {
    let stage = Stage::pair();
    stage.put(upstream("app-1", "a:1"));
    assert_eq!(stage.roster.state().overrides, Overrides::new(), "as the base says");
    stage.put(upstream("app-9", "a:9"));
    stage.remove("app-9");
    assert_eq!(stage.roster.state().overrides, Overrides::new(), "no other layer has it");
    stage.remove("app-1");
    stage.put(upstream("app-1", "a:1"));
    assert_eq!(stage.roster.state().overrides, Overrides::new(), "as if it was never removed");
    // The configuration catches up with the operator.
    stage.put(upstream("app-9", "a:9").weight(2));
    stage.remove("app-2");
    stage.roster.drain("app-1", None, stage.now).unwrap();
    stage.roster.set_base(vec![upstream("app-3", "a:3"), upstream("app-9", "a:9").weight(2)], stage.now).unwrap();
    assert_eq!(stage.roster.state().overrides, Overrides::new());
    assert_eq!(stage.shelf.state(), RosterState::default(), "and are no longer kept");
}

#[test]
fn an_upstream_that_discovery_loses_for_a_while_keeps_its_override() {
    let stage = Stage::pair();
    stage.roster.drain("app-1", None, stage.now).unwrap();
    stage.roster.set_discovered(vec![upstream("app-2", "a:2")], stage.now).unwrap();
    assert_eq!(stage.names(), ["app-2"]);
    assert_eq!(stage.roster.upstream("app-2").unwrap().origin, Origin::Discovered);
    stage.roster.set_discovered(vec![upstream("app-1", "a:1"), upstream("app-2", "a:2")], stage.now).unwrap();
    assert!(stage.is_draining("app-1") && !stage.is_draining("app-2"));
}

#[test]
fn an_upstream_that_discovery_has_not_found_yet_keeps_its_override() {
    let stage = Stage::pair();
    stage.roster.drain("app-1", None, stage.now).unwrap();
    let both = || vec![upstream("app-1", "a:1"), upstream("app-2", "a:2")];
    for (is_discovered, stays) in [(true, true), (false, false)] {
        let roster = Roster::new(balancer(&both()[1..]));
        let roster = if is_discovered { roster.discovered() } else { roster };
        roster.restore(stage.shelf.state(), stage.now).unwrap();
        roster.set_discovered(both(), stage.now).unwrap();
        assert_eq!(roster.upstream("app-1").unwrap().drain.is_some(), stays);
    }
}

#[test]
fn an_empty_base_is_refused_and_the_old_one_stays() {
    let stage = Stage::pair();
    let generation = stage.roster.balancer().generation();
    let refused = stage.roster.set_base(Vec::new(), stage.now).unwrap_err();
    assert!(matches!(refused, RosterError::LastUpstream), "{refused}");
    let twice = vec![upstream("app-1", "a:1"), upstream("app-1", "a:2")];
    let refused = stage.roster.set_base(twice, stage.now).unwrap_err();
    assert!(matches!(refused, RosterError::Plan(PlanError::Cluster(ClusterError::Duplicate { .. }))), "{refused}");
    assert_eq!(
        (stage.names(), stage.roster.balancer().generation()),
        (vec!["app-1".into(), "app-2".into()], generation)
    );
}

#[test]
fn the_same_base_again_makes_no_generation() {
    let stage = Stage::pair();
    stage.put(upstream("app-1", "a:1").weight(7));
    let events = stage.roster.subscribe();
    let applied = stage.roster.set_base(vec![upstream("app-1", "a:1"), upstream("app-2", "a:2")], stage.now).unwrap();
    assert_eq!(applied.from, applied.generation);
    assert_eq!(events.poll(), None);
    // Another order is another cluster to policies that go by it.
    let applied = stage.roster.set_base(vec![upstream("app-2", "a:2"), upstream("app-1", "a:1")], stage.now).unwrap();
    assert!(applied.from < applied.generation && applied.effects.is_empty());
    assert_eq!(events.poll().unwrap().kind.to_string(), "the order of the upstreams has changed");
}

#[test]
fn an_expected_generation_that_is_gone_is_refused_before_anything_is_stored() {
    let stage = Stage::pair();
    let expected = stage.roster.balancer().generation();
    stage.put(upstream("app-3", "a:3"));
    let kept = stage.shelf.state();
    // What it would remove is gone as well; that is not what it is told.
    let refused = stage.roster.change(&[Change::Remove("app-7".into())], Some(expected), stage.now).unwrap_err();
    assert!(matches!(refused, RosterError::Stale(ApplyError::Stale { .. })), "{refused}");
    assert_eq!(stage.shelf.state(), kept);
}

#[test]
fn a_change_that_cannot_be_saved_is_not_made() {
    let mut stage = Stage::pair();
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    stage.roster.drain("app-2", None, stage.now).unwrap();
    let (members, state, kept) = (stage.members(), stage.roster.state(), stage.shelf.state());
    let generation = stage.roster.balancer().generation();
    stage.shelf.fail(true);
    let now = stage.now;
    let is_refused = |result: Result<(), RosterError>| assert!(matches!(result, Err(RosterError::Store(_))));
    is_refused(stage.roster.change(&[Change::Put(upstream("app-9", "a:9"))], None, now).map(drop));
    is_refused(stage.roster.change(&[Change::Remove("app-1".into())], None, now).map(drop));
    is_refused(stage.roster.drain("app-1", Some(secs(60)), now));
    is_refused(stage.roster.resume("app-2", now));
    is_refused(stage.roster.register(upstream("app-4", "a:4"), TTL, now).map(drop));
    is_refused(stage.roster.deregister("app-3", None, now).map(drop));
    assert_eq!((stage.members(), stage.roster.state(), stage.shelf.state()), (members, state, kept));
    assert_eq!(stage.roster.balancer().generation(), generation);
    assert!(stage.is_draining("app-2") && !stage.is_draining("app-1"));
    // It is tried again.
    stage.shelf.fail(false);
    stage.roster.resume("app-2", stage.now).unwrap();
    stage.wait(1);
    assert!(!stage.is_draining("app-2"));
}

#[test]
fn overrides_are_restored_where_registrations_cannot_be_saved() {
    let stage = Stage::pair();
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    stage.roster.drain("app-3", None, stage.now).unwrap();
    let kept = stage.shelf.state();
    stage.shelf.0.fails_at_registrations.store(true, Ordering::Relaxed);
    // Its order would go with it.
    stage.roster.deregister("app-3", None, stage.now).unwrap_err();
    assert_eq!((stage.shelf.state(), stage.roster.state()), (kept.clone(), kept));
}

#[test]
fn a_silent_registration_is_drained_then_removed() {
    let mut stage = Stage::pair();
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    let report = InstanceReport { sessions: Some(4), cpu: Some(0.5), ..InstanceReport::default() };
    for _ in 0..5 {
        stage.wait(14);
        stage.roster.heartbeat("app-3", report, stage.now).unwrap();
    }
    let about = stage.roster.upstream("app-3").unwrap();
    assert_eq!(about.report, Some((report, stage.now)));
    assert_eq!(about.registration, Some(RegistrationLifetime { ttl: TTL, expires: stage.now.after(TTL) }));
    stage.wait(14);
    assert!(!stage.is_draining("app-3"), "heartbeat 14 s ago");
    let events = stage.roster.subscribe();
    stage.wait(1);
    assert!(stage.is_draining("app-3"), "silent for its TTL");
    let told = events.poll().unwrap();
    assert_eq!(
        (told.by, told.kind),
        (Initiator::Expiry, RosterChange::Draining { name: "app-3".into(), within: Some(TTL) })
    );
    assert_eq!(
        stage.roster.upstream("app-3").unwrap().registration.unwrap().expires,
        stage.now.after(TTL).after(SPREAD)
    );
    stage.wait(17);
    assert!(stage.names().contains(&"app-3".into()), "sessions leave over the spread");
    stage.wait(1);
    assert_eq!(stage.names(), ["app-1", "app-2"]);
    let told = events.poll().unwrap();
    assert!(told.by == Initiator::Expiry && told.kind.to_string().starts_with("app-3: removed"), "{told:?}");
    assert!(matches!(stage.roster.heartbeat("app-3", report, stage.now), Err(RosterError::Unknown(_))));
    assert_eq!(stage.shelf.state(), RosterState::default());
}

#[test]
fn a_heartbeat_ends_the_drain_of_a_silent_instance() {
    let mut stage = Stage::pair();
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    stage.wait(20);
    assert!(stage.is_draining("app-3"));
    stage.roster.heartbeat("app-3", InstanceReport::default(), stage.now).unwrap();
    assert!(!stage.is_draining("app-3"));
    stage.wait(20);
    assert!(stage.is_draining("app-3"));
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    assert!(!stage.is_draining("app-3"), "a registration is a sign of life too");
}

#[test]
fn a_drain_by_override_holds_whatever_the_instance_reports() {
    let mut stage = Stage::pair();
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    stage.roster.drain("app-3", None, stage.now).unwrap();
    stage.wait(16);
    stage.roster.heartbeat("app-3", InstanceReport::default(), stage.now).unwrap();
    assert!(stage.is_draining("app-3"));
    stage.roster.register(upstream("app-3", "a:33"), TTL, stage.now).unwrap();
    assert!(stage.is_draining("app-3"), "at another address too");
    stage.roster.resume("app-3", stage.now).unwrap();
    assert!(!stage.is_draining("app-3"));
}

#[test]
fn silence_never_drains_the_last_that_accepts_sessions() {
    let mut stage = Stage::new(&[upstream("app-1", "a:1")]);
    stage.roster.register(upstream("app-2", "a:2"), TTL, stage.now).unwrap();
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    stage.remove("app-1");
    stage.wait(300);
    assert_eq!(stage.names(), ["app-3"], "one has gone, one is left");
    assert!(!stage.is_draining("app-3"));
    // And an instance that deregisters stays where it is the only one.
    stage.roster.deregister("app-3", Some(secs(1)), stage.now).unwrap();
    stage.wait(60);
    assert_eq!(stage.names(), ["app-3"]);
    stage.roster.register(upstream("app-2", "a:2"), TTL, stage.now).unwrap();
    stage.wait(1);
    assert_eq!(stage.names(), ["app-2"]);
}

#[test]
fn a_suspended_process_or_a_clock_that_jumps_expires_nothing() {
    let mut stage = Stage::pair();
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    stage.wait(10);
    // Suspended for an hour; then the clock is put back by two.
    stage.now = stage.now.after(secs(3600));
    stage.wait(4);
    assert!(!stage.is_draining("app-3"));
    stage.now = stage.now.before(secs(7200));
    stage.wait(1);
    assert!(stage.is_draining("app-3") || stage.roster.upstream("app-3").is_some());
    stage.wait(2);
    assert!(stage.is_draining("app-3"), "15 seconds were observed by now");
}

#[test]
fn a_deregistered_instance_is_removed_once_nothing_is_left_on_it() {
    let mut stage = Stage::pair();
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    let cluster = stage.roster.balancer().cluster();
    let lease = cluster.find_name("app-3").unwrap().lease().unwrap();
    drop(cluster);
    stage.roster.deregister("app-3", Some(secs(600)), stage.now).unwrap();
    for _ in 0..10 {
        stage.wait(10);
        // It still reports.
        stage.roster.heartbeat("app-3", InstanceReport::default(), stage.now).unwrap();
        assert!(stage.is_draining("app-3"));
    }
    assert!(stage.restarted(&[upstream("app-1", "a:1")]).is_draining("app-3"), "it still drains after a restart");
    drop(lease);
    stage.wait(1);
    assert_eq!(stage.names(), ["app-1", "app-2"]);
    // And at once, without a drain.
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    stage.roster.deregister("app-3", None, stage.now).unwrap();
    assert_eq!(stage.names(), ["app-1", "app-2"]);
    assert!(matches!(stage.roster.deregister("app-3", None, stage.now), Err(RosterError::Unknown(_))));
}

#[test]
fn a_removal_holds_while_the_instance_is_there() {
    let mut stage = Stage::pair();
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    stage.remove("app-3");
    for _ in 0..4 {
        stage.wait(10);
        let heard = stage.roster.heartbeat("app-3", InstanceReport::default(), stage.now);
        assert!(matches!(heard, Err(RosterError::Removed { .. })));
        let again = stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now);
        assert!(matches!(again, Err(RosterError::Removed { .. })));
        assert_eq!(stage.names(), ["app-1", "app-2"]);
    }
    stage.wait(60);
    assert_eq!(stage.roster.state(), RosterState::default(), "both are gone");
    stage.roster.register(upstream("app-3", "a:3"), TTL, stage.now).unwrap();
    assert_eq!(stage.names(), ["app-1", "app-2", "app-3"]);
}

#[test]
fn reports_need_no_registration_and_are_checked() {
    let stage = Stage::pair();
    let report = InstanceReport { memory_bytes: Some(1 << 30), ..InstanceReport::default() };
    stage.roster.heartbeat("app-1", report, stage.now).unwrap();
    let about = stage.roster.upstream("app-1").unwrap();
    assert_eq!((about.report, about.registration), (Some((report, stage.now)), None));
    for cpu in [f64::NAN, f64::INFINITY, -0.1] {
        let refused = stage.roster.heartbeat("app-1", InstanceReport { cpu: Some(cpu), ..report }, stage.now);
        assert!(matches!(refused, Err(RosterError::Report)), "{cpu}");
    }
    for ttl in [Duration::from_millis(999), secs(24 * 3600 + 1)] {
        let refused = stage.roster.register(upstream("app-3", "a:3"), ttl, stage.now);
        assert!(matches!(refused, Err(RosterError::Ttl)), "{ttl:?}");
    }
    let refused = stage.roster.register(upstream("app 3", "a:3"), TTL, stage.now).unwrap_err();
    assert!(matches!(refused, RosterError::Plan(PlanError::Cluster(ClusterError::Name { .. }))));
}

#[test]
fn a_drain_keeps_its_deadline_over_a_restart() {
    let mut stage = Stage::pair();
    stage.roster.drain("app-1", Some(secs(600)), stage.now).unwrap();
    let until = stage.now.after(secs(600));
    stage.wait(100);
    let after = stage.restarted(&[upstream("app-1", "a:1"), upstream("app-2", "a:2")]);
    assert!(after.is_draining("app-1"));
    assert_eq!(after.roster.upstream("app-1").unwrap().drain, Some(DrainOverride { until: Some(until) }));
    let cluster = after.roster.balancer().cluster();
    let departure = cluster.find_name("app-1").unwrap().upstream().drain_deadline(1).unwrap();
    assert!(departure >= until && departure <= until.after(SPREAD), "{departure}");
}

#[test]
fn a_state_that_leaves_no_upstream_is_refused() {
    let removed = Override { removed: true, ..Override::default() };
    let state = RosterState { overrides: Overrides::from([("app-1".to_owned(), removed)]), ..RosterState::default() };
    let stage = Stage::new(&[upstream("app-1", "a:1")]);
    let refused = stage.roster.restore(state.clone(), stage.now).unwrap_err();
    assert!(matches!(refused, RosterError::LastUpstream));
    // An override that concerns no upstream is dropped instead.
    let stage = Stage::new(&[upstream("app-2", "a:2")]);
    stage.roster.restore(state, stage.now).unwrap();
    assert_eq!(stage.roster.state(), RosterState::default());
}

#[test]
fn changes_without_the_roster_become_part_of_the_base() {
    let stage = Stage::pair();
    stage.put(upstream("app-9", "a:9"));
    stage.roster.register(upstream("app-8", "a:8"), TTL, stage.now).unwrap();
    let changes = [
        Change::Remove("app-1".into()),
        Change::Put(upstream("app-7", "a:7")),
        Change::Put(upstream("app-9", "b:9")),
        Change::Remove("app-8".into()),
    ];
    let balancer = stage.roster.balancer();
    balancer.apply(balancer.plan(&changes).unwrap()).unwrap();
    balancer.drain("app-2", None, stage.now).unwrap();
    stage.roster.heartbeat("app-7", InstanceReport::default(), stage.now).unwrap();
    stage.roster.resume("app-2", stage.now).unwrap();
    assert!(!stage.is_draining("app-2"));
    stage.put(upstream("app-3", "a:3"));
    let members = stage.members();
    for config in
        [upstream("app-2", "a:2"), upstream("app-3", "a:3"), upstream("app-7", "a:7"), upstream("app-9", "b:9")]
    {
        assert!(members.contains(&config), "{members:?}");
    }
    assert_eq!(members.len(), 4);
}

#[test]
fn events_have_what_initiated_them() {
    let stage = Stage::pair();
    let events = stage.roster.subscribe();
    stage.put(upstream("app-3", "a:3"));
    stage.roster.register(upstream("app-4", "a:4"), TTL, stage.now).unwrap();
    stage.roster.set_base(vec![upstream("app-1", "a:1")], stage.now).unwrap();
    stage.roster.drain("app-3", None, stage.now).unwrap();
    stage.roster.resume("app-3", stage.now).unwrap();
    let told: Vec<String> =
        std::iter::from_fn(|| events.poll()).map(|event| format!("{}: {}", event.by, event.kind)).collect();
    assert_eq!(
        told,
        [
            "operator: app-3: added; takes new sessions",
            "instance: app-4: added; takes new sessions",
            "configuration: app-2: removed; 0 in flight finish, its sessions are placed anew",
            "operator: app-3: drain without a deadline",
            "operator: app-3: resume",
        ]
    );
}

/// Upstreams that stay keep their counters.
#[test]
fn counters_survive_changes_of_other_upstreams() {
    let stage = Stage::pair();
    let cell = |name: &str| Arc::clone(stage.roster.balancer().cluster().find_name(name).unwrap().upstream());
    let before = cell("app-1");
    stage.roster.set_base(vec![upstream("app-2", "a:2"), upstream("app-1", "a:1").weight(3)], stage.now).unwrap();
    stage.put(upstream("app-0", "a:0"));
    assert!(Arc::ptr_eq(&before, &cell("app-1")));
}

mod model;
