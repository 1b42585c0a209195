use super::*;
use crate::balancer::Balancer;
use crate::cluster::{Availability, UpstreamConfig, UpstreamId};
use crate::time::Timestamp;
use crate::{Pick, Request};
use std::time::Duration;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A balancer, its time and its events.
struct World {
    balancer: Balancer,
    now: Timestamp,
    events: Subscription,
}

impl World {
    fn new(upstreams: usize) -> Self {
        Self::with(upstreams, HealthSettings::default())
    }

    fn with(upstreams: usize, settings: HealthSettings) -> Self {
        let configs = (1..=upstreams).map(|n| UpstreamConfig::new(format!("app-{n}"), format!("10.0.0.{n}:80")));
        let balancer = Balancer::builder().upstreams(configs).policy("round_robin").health(settings).build().unwrap();
        let events = balancer.subscribe();
        let mut world = Self { balancer, now: Timestamp::from_secs(1_000_000), events };
        world.pass(Duration::ZERO);
        world
    }

    fn id(&self, index: usize) -> UpstreamId {
        self.balancer.cluster().members()[index].upstream().id()
    }

    fn health(&self, index: usize) -> Availability {
        self.balancer.cluster().members()[index].upstream().availability()
    }

    fn state(&self, index: usize) -> State {
        self.balancer.status()[index].state
    }

    fn states(&self) -> Vec<State> {
        self.balancer.status().iter().map(|status| status.state).collect()
    }

    /// Advances the time in ticks of 100 ms.
    fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            self.now = self.now.after(Duration::from_millis(100)).min(end);
            self.balancer.tick(self.now);
        }
        self.balancer.tick(self.now);
    }

    fn report(&self, index: usize, outcome: Outcome) {
        let cluster = self.balancer.cluster();
        self.balancer.report(cluster.members()[index].upstream(), outcome, self.now);
    }

    fn probe(&self, index: usize, result: ProbeResult) {
        self.balancer.probe(self.id(index), result, self.now);
    }

    /// A request in flight on this upstream.
    fn send(&self, index: usize) -> Pick {
        let others: Vec<_> = (0..self.balancer.cluster().len()).filter(|i| *i != index).map(|i| self.id(i)).collect();
        self.balancer.pick(&Request::new(self.now).tried(&others)).unwrap()
    }

    fn kinds(&self) -> Vec<EventKind> {
        std::iter::from_fn(|| self.events.poll()).map(|event| event.kind).collect()
    }
}

fn changed(from: State, to: State, cause: Cause) -> EventKind {
    EventKind::Changed { from, to, cause }
}

#[test]
fn a_refused_connection_is_proof_and_two_good_probes_bring_it_back_slowly() {
    let mut world = World::new(5);
    world.report(2, Outcome::ConnectRefused);
    assert_eq!((world.state(2), world.health(2)), (State::Down, Availability::DOWN));
    world.probe(2, ProbeResult::Refused);
    world.pass(secs(60));
    assert_eq!(world.state(2), State::Down, "no probe has passed");
    world.probe(2, ProbeResult::Passed);
    assert_eq!(world.state(2), State::Down);
    world.probe(2, ProbeResult::Passed);
    assert_eq!((world.state(2), world.health(2)), (State::SlowStart, Availability::ACTIVE));
    world.pass(secs(9));
    assert_eq!(world.state(2), State::SlowStart);
    world.pass(secs(1));
    assert_eq!(world.state(2), State::Active);
    assert_eq!(
        world.kinds(),
        [
            changed(State::Active, State::Down, Cause::ConnectRefused),
            changed(State::Down, State::SlowStart, Cause::ProbesPass),
            changed(State::SlowStart, State::Active, Cause::SlowStartOver),
        ]
    );
}

#[test]
fn without_probes_it_returns_after_an_ejection_time_that_doubles() {
    let mut world = World::new(2);
    let mut last = Duration::ZERO;
    for round in 0..4 {
        world.report(0, Outcome::ConnectRefused);
        let start = world.now;
        while world.state(0) == State::Down {
            world.pass(Duration::from_millis(100));
        }
        let out = world.now.since(start);
        // Twice as long, each length varied by up to a quarter.
        assert!(round == 0 || (out > last.mul_f64(1.1) && out < last.mul_f64(3.7)), "{last:?}, then {out:?}");
        last = out;
    }
    // Long after the last ejection the length starts at the base again.
    world.pass(secs(1000));
    world.report(0, Outcome::ConnectRefused);
    world.pass(secs(2));
    assert_eq!(world.state(0), State::SlowStart);
}

#[test]
fn connections_that_time_out_count_only_in_a_row() {
    for other in [Outcome::Answered, Outcome::ServerError, Outcome::Broken, Outcome::TimedOut { after: secs(30) }] {
        let world = World::new(5);
        world.report(0, Outcome::ConnectTimedOut);
        world.report(0, other);
        world.report(0, Outcome::ConnectTimedOut);
        assert_eq!(world.state(0), State::Active, "{other:?} came over a connection");
        world.report(0, Outcome::ConnectTimedOut);
        assert_eq!(world.state(0), State::Down);
    }
}

#[test]
fn errors_stop_new_sessions_and_break_no_pin() {
    let mut world = World::new(4);
    for _ in 0..4 {
        world.report(1, Outcome::ServerError);
    }
    world.report(1, Outcome::Answered);
    for _ in 0..4 {
        world.report(1, Outcome::Broken);
    }
    assert_eq!(world.state(1), State::Active, "no five in a row");
    world.report(1, Outcome::ServerError);
    assert_eq!((world.state(1), world.health(1)), (State::Suspect, Availability::DRAINING));
    world.pass(secs(13));
    assert_eq!(world.state(1), State::SlowStart);
}

#[test]
fn a_rate_of_failures_counts_where_there_are_enough_requests() {
    let mut world = World::new(4);
    let answer = |world: &World, outcome| {
        let pick = world.send(0);
        world.balancer.report(pick.upstream(), outcome, world.now);
    };
    for _ in 0..9 {
        answer(&world, Outcome::ServerError);
        answer(&world, Outcome::Answered);
    }
    assert_eq!(world.state(0), State::Active, "18 requests are too few");
    answer(&world, Outcome::Answered);
    answer(&world, Outcome::Answered);
    answer(&world, Outcome::ServerError);
    assert_eq!(world.state(0), State::Active, "ten of 21");
    answer(&world, Outcome::ServerError);
    assert_eq!(world.state(0), State::Suspect, "eleven of 22");
    world.pass(secs(60));
    // Requests before the window do not count.
    for _ in 0..100 {
        answer(&world, Outcome::Answered);
    }
    world.pass(secs(60));
    for _ in 0..15 {
        answer(&world, Outcome::ServerError);
        answer(&world, Outcome::Answered);
        answer(&world, Outcome::Answered);
    }
    assert_eq!(world.state(0), State::Active, "a third");
}

#[test]
fn silence_stops_new_sessions_and_a_deadline_in_silence_is_proof() {
    let mut world = World::new(3);
    let waiting: Vec<Pick> = (0..3).map(|_| world.send(0)).collect();
    let _slow = world.send(1);
    world.pass(secs(4));
    assert_eq!(world.state(0), State::Active);
    world.pass(secs(2));
    assert_eq!(world.states(), [State::Suspect, State::Active, State::Active], "one slow request is no silence");
    assert_eq!(world.health(0), Availability::DRAINING);
    world.pass(secs(54));
    world.report(1, Outcome::TimedOut { after: secs(60) });
    assert_eq!(world.state(1), State::Active, "nor is one request that exceeds its deadline");
    world.report(0, Outcome::TimedOut { after: secs(60) });
    assert_eq!((world.state(0), world.health(0)), (State::Down, Availability::DOWN));
    drop(waiting);
}

#[test]
fn an_error_response_ends_silence() {
    let outlier = Outlier { consecutive: 0, failure_rate: 2.0, ..Outlier::default() };
    let mut world = World::with(5, HealthSettings { outlier, ..HealthSettings::default() });
    let requests: Vec<_> = (0..40).map(|_| world.send(0)).collect();
    for _ in 0..40 {
        world.pass(secs(1));
        world.report(0, Outcome::ServerError);
    }
    assert_eq!(world.state(0), State::Active, "it is not silent");
    world.report(0, Outcome::TimedOut { after: secs(30) });
    assert_eq!(world.state(0), State::Active, "and other requests got responses meanwhile");
    drop(requests);
}

#[test]
fn a_response_ends_suspicion_of_silence() {
    let mut world = World::new(3);
    let waiting: Vec<Pick> = (0..3).map(|_| world.send(0)).collect();
    world.pass(secs(120));
    assert_eq!(world.state(0), State::Suspect, "it stays suspect while requests wait");
    world.report(0, Outcome::Answered);
    assert_eq!(world.state(0), State::SlowStart);
    drop(waiting);
}

#[test]
fn judgements_on_more_than_half_of_the_cluster_are_ignored() {
    let mut world = World::new(5);
    let fail = |world: &World, index| (0..5).for_each(|_| world.report(index, Outcome::ServerError));
    fail(&world, 0);
    fail(&world, 1);
    assert_eq!(world.health(1), Availability::DRAINING);
    assert!(!world.balancer.panics());
    for round in 0..20 {
        (0..5).for_each(|index| fail(&world, index));
        assert!(world.balancer.panics());
        assert!((0..5).all(|index| world.health(index) == Availability::ACTIVE), "round {round}");
        world.pass(secs(1));
    }
    world.pass(secs(600));
    assert!(!world.balancer.panics());
    assert_eq!(world.states(), [State::Active; 5]);
    let kinds = world.kinds();
    let count = |kind| kinds.iter().filter(|k| **k == kind).count();
    assert_eq!((count(EventKind::PanicBegan), count(EventKind::PanicEnded)), (1, 1), "{kinds:?}");
}

#[test]
fn proof_is_not_overruled() {
    let world = World::new(4);
    for index in 0..3 {
        world.report(index, Outcome::ConnectRefused);
    }
    (0..5).for_each(|_| world.report(3, Outcome::ServerError));
    assert!(world.balancer.panics());
    assert_eq!(world.health(3), Availability::ACTIVE);
    assert!((0..3).all(|index| world.health(index) == Availability::DOWN));
}

#[test]
fn a_bad_status_of_probes_is_a_judgement() {
    let mut world = World::new(4);
    for index in 0..4 {
        world.probe(index, ProbeResult::Status(404));
    }
    assert_eq!(world.states(), [State::Active; 4], "one is not enough");
    world.probe(0, ProbeResult::Status(404));
    assert_eq!((world.state(0), world.health(0)), (State::Down, Availability::DOWN));
    (1..4).for_each(|index| world.probe(index, ProbeResult::Status(404)));
    assert!(
        (0..4).all(|index| world.health(index) == Availability::ACTIVE),
        "a wrong probe path takes no upstream down"
    );
    world.pass(secs(20));
    for _ in 0..2 {
        (0..4).for_each(|index| world.probe(index, ProbeResult::Passed));
    }
    assert!(!world.balancer.panics());
    assert_eq!(world.states(), [State::SlowStart; 4]);
}

#[test]
fn only_probe_timeouts_in_a_row_are_proof() {
    let mut world = World::new(5);
    for _ in 0..3 {
        world.probe(0, ProbeResult::TimedOut);
        world.probe(0, ProbeResult::Passed);
        world.probe(0, ProbeResult::Status(500));
        world.probe(0, ProbeResult::TimedOut);
        assert_eq!(world.state(0), State::Active);
        world.probe(0, ProbeResult::Passed);
        world.pass(secs(2));
    }
    world.probe(0, ProbeResult::TimedOut);
    world.probe(0, ProbeResult::TimedOut);
    assert_eq!(world.state(0), State::Down);
}

#[test]
fn full_is_not_down() {
    let world = World::new(2);
    world.probe(0, ProbeResult::Full);
    assert_eq!((world.state(0), world.health(0)), (State::Full, Availability::DRAINING));
    world.probe(0, ProbeResult::Passed);
    assert_eq!((world.state(0), world.health(0)), (State::Active, Availability::ACTIVE));
}

#[test]
fn conditions_that_only_probes_could_end_end_when_probing_stops() {
    let mut world = World::new(3);
    world.probe(0, ProbeResult::Full);
    world.probe(1, ProbeResult::Refused);
    world.pass(secs(60));
    assert_eq!(world.states(), [State::Full, State::Down, State::Active], "they wait for probes");
    world.balancer.forget_probes();
    assert_eq!(world.state(0), State::Active);
    world.pass(secs(1));
    assert_eq!(world.state(1), State::SlowStart);
}

#[test]
fn an_upstream_that_reports_full_returns_as_full() {
    let mut world = World::new(5);
    world.report(0, Outcome::ConnectRefused);
    world.pass(secs(60));
    world.probe(0, ProbeResult::Full);
    world.probe(0, ProbeResult::Full);
    assert_eq!((world.state(0), world.health(0)), (State::Full, Availability::DRAINING));
    (0..5).for_each(|_| world.report(0, Outcome::Broken));
    assert_eq!(world.state(0), State::Suspect);
    // Judgements on three of five are ignored; the report of one that it is full is not.
    (1..3).for_each(|index| (0..5).for_each(|_| world.report(index, Outcome::Broken)));
    assert!(world.balancer.panics());
    assert_eq!([0, 1].map(|index| world.health(index)), [Availability::DRAINING, Availability::ACTIVE]);
    // Nor is an operator's drain.
    (0..2).for_each(|_| world.probe(3, ProbeResult::Status(500)));
    assert_eq!((world.state(3), world.health(3)), (State::Down, Availability::ACTIVE));
    world.balancer.drain("app-4", None, world.now).unwrap();
    assert_eq!((world.state(3), world.health(3)), (State::Down, Availability::DRAINING));
    world.balancer.resume("app-4", world.now).unwrap();
    world.pass(secs(60));
    assert_eq!(world.state(0), State::Full);
    world.probe(0, ProbeResult::Passed);
    assert_eq!(world.state(0), State::Active);
}

#[test]
fn a_drain_ends_when_nothing_is_left() {
    let mut world = World::new(2);
    let tunnel = world.send(0);
    world.balancer.drain("app-1", Some(secs(600)), world.now).unwrap();
    assert_eq!((world.state(0), world.health(0)), (State::Draining, Availability::DRAINING));
    world.pass(secs(600));
    assert_eq!(world.health(0), Availability::DRAINING, "sessions begin to leave only now");
    let moment = tunnel.upstream().drain_deadline(7).unwrap();
    assert!(moment >= world.now && moment <= world.now.after(secs(30)));
    world.pass(secs(30));
    assert_eq!((world.state(0), world.health(0)), (State::Draining, Availability::DOWN));
    assert_eq!(world.kinds(), [changed(State::Active, State::Draining, Cause::Operator)]);
    drop(tunnel);
    world.pass(secs(1));
    assert_eq!(world.kinds(), [EventKind::Drained]);
    world.balancer.resume("app-1", world.now).unwrap();
    assert_eq!((world.state(0), world.health(0)), (State::SlowStart, Availability::ACTIVE));
    assert!(world.balancer.drain("app-9", None, world.now).is_err());
}

#[test]
fn an_upstream_that_crashes_in_a_drain_is_down_and_then_drains_on() {
    let mut world = World::new(2);
    world.balancer.drain("app-1", None, world.now).unwrap();
    world.report(0, Outcome::ConnectRefused);
    assert_eq!((world.state(0), world.health(0)), (State::Down, Availability::DOWN));
    world.pass(secs(5));
    assert_eq!((world.state(0), world.health(0)), (State::Draining, Availability::DRAINING));
}

#[test]
fn a_clock_that_jumps_back_prolongs_no_ejection() {
    let mut world = World::new(2);
    world.report(0, Outcome::ConnectRefused);
    world.now = world.now.before(secs(3600));
    world.pass(secs(2));
    assert_eq!(world.state(0), State::SlowStart);
    world.pass(secs(10));
    assert_eq!(world.state(0), State::Active);
}

#[test]
fn a_restart_is_an_event() {
    let world = World::new(2);
    let upstream = std::sync::Arc::clone(world.balancer.cluster().members()[0].upstream());
    for incarnation in [7, 7, 9] {
        world.balancer.set_incarnation(&upstream, incarnation, world.now);
    }
    assert_eq!(world.kinds(), [EventKind::Restarted { from: 7, to: 9 }]);
}

#[test]
fn a_subscription_that_is_polled_too_late_misses_the_oldest_events() {
    let world = World::new(2);
    let upstream = std::sync::Arc::clone(world.balancer.cluster().members()[0].upstream());
    for incarnation in 1..=5000 {
        world.balancer.set_incarnation(&upstream, incarnation, world.now);
    }
    assert_eq!(world.events.missed(), 4999 - 4096);
    assert_eq!(world.kinds().len(), 4096);
}

#[test]
fn added_upstreams_begin_with_slow_start_and_changed_ones_keep_their_drain() {
    let mut world = World::new(2);
    let put = |name: &str, address: &str| crate::Change::Put(UpstreamConfig::new(name, address));
    let apply = |world: &World, change| {
        let plan = world.balancer.plan(&[change]).unwrap();
        world.balancer.apply(plan).unwrap();
    };
    apply(&world, put("app-3", "10.0.0.3:80"));
    assert_eq!(world.states(), [State::Active, State::Active, State::SlowStart]);
    world.pass(secs(10));
    assert_eq!(world.state(2), State::Active);
    world.balancer.drain("app-3", Some(secs(60)), world.now).unwrap();
    let drain_deadline = |world: &World| world.balancer.cluster().members()[2].upstream().drain_deadline(7);
    let before = drain_deadline(&world);
    assert!(before.is_some());
    apply(&world, put("app-3", "10.0.0.9:80"));
    world.pass(secs(1));
    assert_eq!((world.state(2), world.health(2)), (State::Draining, Availability::DRAINING));
    assert_eq!(drain_deadline(&world), before);
    // An outcome of a request to the previous address.
    let cluster = world.balancer.cluster();
    apply(&world, put("app-1", "10.0.0.8:80"));
    world.balancer.report(cluster.members()[0].upstream(), Outcome::ConnectRefused, world.now);
    assert_eq!(world.state(0), State::SlowStart, "the new address refused no connection");
}

#[test]
fn settings_out_of_range_are_refused() {
    let builder = || Balancer::builder().upstream(UpstreamConfig::new("a", "a:1"));
    let mut settings = HealthSettings::default();
    settings.slow_start.min = 0.0;
    let error = builder().health(settings).build().unwrap_err();
    assert_eq!(error.to_string(), "slow_start.min must be above 0 and up to 1");
}

#[test]
fn a_clock_that_jumps_ahead_proves_no_silence() {
    let mut world = World::new(3);
    let waiting: Vec<Pick> = (0..3).map(|_| world.send(0)).collect();
    world.pass(secs(3));
    world.now = world.now.after(secs(3600));
    world.report(0, Outcome::TimedOut { after: secs(60) });
    world.pass(secs(1));
    assert_eq!(world.state(0), State::Active, "seen silent for four seconds, and not for an hour");
    world.pass(secs(2));
    assert_eq!(world.state(0), State::Suspect);
    drop(waiting);
}
