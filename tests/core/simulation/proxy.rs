//! One proxy of the pool: its balancer and clock, and a model of the state that it must have.

use crate::simulation::dice::Dice;
use crate::simulation::invariants::{Check, ensure};
use crate::simulation::scenario::Scenario;
use crate::simulation::session::key_ring;
use crate::simulation::tally::Tally;
use crate::simulation::witness::Witness;
use homing::affinity::Rebalance;
use homing::health::{Cause, EventKind, State, Subscription};
use homing::rng::SeededEntropy;
use homing::{Affinity, Availability, Balancer, Change, Decision, Timestamp, Upstream, UpstreamConfig};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The longest time between two ticks.
pub const LONGEST_TICK: u64 = 5000;

const EPOCH: u64 = 1_700_000_000_000;

/// An upstream as configured. Its number is its identity.
#[derive(Clone, Debug)]
pub struct Slot {
    pub number: usize,
    pub site: usize,
    pub weight: u16,
    pub limit: u32,
}

impl Slot {
    pub fn name(&self) -> String {
        format!("app-{}", self.number)
    }

    pub fn config(&self) -> UpstreamConfig {
        UpstreamConfig::new(self.name(), self.site.to_string()).weight(self.weight).max_in_flight(self.limit)
    }
}

pub fn slot_of(upstream: &Upstream) -> usize {
    upstream.name()["app-".len()..].parse().expect("upstreams are numbered")
}

pub fn site_of(upstream: &Upstream) -> usize {
    upstream.address().parse().expect("addresses are numbers")
}

/// An upstream's cell, and a model of it.
pub struct Cell {
    pub upstream: Arc<Upstream>,
    pub slot: Slot,
    pub witness: Witness,
    pub state: State,
    pub cause: Cause,
    pub in_flight: u32,
    /// By `Decision::index`.
    pub decided: [u64; Decision::COUNT],
    /// How often it has stopped serving.
    pub times_gone: u64,
    pub down_at: u64,
    /// When its current incarnation became known.
    pub learned_at: u64,
    /// The times of the displaced sessions admitted in the last second.
    pub admitted: VecDeque<u64>,
}

impl Cell {
    pub fn is_judged(&self) -> bool {
        self.state == State::Suspect || (self.state == State::Down && matches!(self.cause, Cause::ProbeStatus(_)))
    }

    pub fn has_room(&self) -> bool {
        self.slot.limit == 0 || self.in_flight < self.slot.limit
    }
}

pub struct Proxy {
    pub balancer: Balancer,
    /// How far its clock is ahead, in milliseconds.
    pub offset: i64,
    pub cells: Vec<Cell>,
    /// The indices of the members' cells, by slot number.
    pub members: BTreeMap<usize, usize>,
    /// The drained slots, and when the last session leaves by the proxy's clock.
    pub drains: BTreeMap<usize, Option<Timestamp>>,
    /// Its keys; the first signs.
    pub keys: Vec<u8>,
    /// The retries left.
    pub budget: f64,
    pub budget_at: u64,
    /// The times at which it rebalanced sessions in the last minute.
    pub rebalanced: VecDeque<u64>,
    /// When its clock last jumped.
    pub jumped_at: u64,
    events: Subscription,
    /// Ticks until the next full check, unless an event comes before.
    rest: u8,
    panics: bool,
    health: homing::HealthSettings,
}

impl Proxy {
    pub fn new(scenario: &Scenario, slots: &[Slot], dice: &Dice) -> Self {
        let affinity = Affinity::builder(key_ring(0, &[]))
            .max_age(Duration::from_secs(scenario.max_age))
            .idle(Some(Duration::from_secs(scenario.idle)))
            .on_unavailable(scenario.on_unavailable)
            .on_full(scenario.on_full)
            .on_restart(scenario.on_restart)
            .build()
            .unwrap();
        let balancer = Balancer::builder()
            .upstreams(slots.iter().map(Slot::config))
            .policy(scenario.policy)
            .affinity(affinity)
            .rebalance(Rebalance::default().budget_per_minute(scenario.rebalance))
            .health(scenario.health)
            .entropy(SeededEntropy::new(dice.draw()))
            .build()
            .unwrap();
        let skew = dice.between(0, 2 * scenario.skew) as i64 - scenario.skew as i64;
        let mut proxy = Self {
            events: balancer.subscribe(),
            balancer,
            offset: skew,
            cells: Vec::new(),
            members: BTreeMap::new(),
            drains: BTreeMap::new(),
            keys: vec![0],
            budget: 10.0,
            budget_at: 0,
            rebalanced: VecDeque::new(),
            jumped_at: 0,
            rest: 0,
            panics: false,
            health: scenario.health,
        };
        proxy.follow(slots, 0, State::Active);
        proxy
    }

    pub fn clock(&self, now: u64) -> Timestamp {
        Timestamp::from_millis((EPOCH + now).saturating_add_signed(self.offset))
    }

    pub fn panics(&self) -> bool {
        self.panics
    }

    /// Whether all upstreams are active.
    pub fn is_well(&self) -> bool {
        self.members.values().all(|cell| self.cells[*cell].state == State::Active)
    }

    /// Counts a request, which earns a fifth of a retry.
    pub fn earn(&mut self) {
        self.budget = (self.budget + 0.2).min(10.0);
    }

    /// Takes one retry from the budget of 20 % of requests and ten a second, if there is one.
    pub fn spend(&mut self, now: u64) -> bool {
        let earned = (now - self.budget_at) as f64 / 1000.0 * 10.0;
        self.budget = (self.budget + earned).min(10.0);
        self.budget_at = now;
        let may = self.budget >= 1.0;
        self.budget -= if may { 1.0 } else { 0.0 };
        may
    }

    /// The index of the cell of an upstream that was picked.
    pub fn cell_of(&self, upstream: &Arc<Upstream>) -> Option<usize> {
        self.cells.iter().rposition(|cell| Arc::ptr_eq(&cell.upstream, upstream))
    }

    /// Makes the cluster consist of `slots`; or, for a control, of these and the removed ones.
    pub fn configure(&mut self, slots: &[Slot], misses_removals: bool, now: u64) {
        let is_gone = |number: &&usize| slots.iter().all(|slot| slot.number != **number) && !misses_removals;
        let gone = self.members.keys().filter(is_gone);
        let mut changes: Vec<Change> = gone.map(|number| Change::Remove(format!("app-{number}"))).collect();
        changes.extend(slots.iter().map(|slot| Change::Put(slot.config())));
        let plan = self.balancer.plan(&changes).unwrap();
        self.balancer.apply(plan).unwrap();
        let ramps = !self.health.slow_start.window.is_zero();
        self.follow(slots, now, if ramps { State::SlowStart } else { State::Active });
    }

    fn follow(&mut self, slots: &[Slot], now: u64, state: State) {
        let before = std::mem::take(&mut self.members);
        let cluster = self.balancer.cluster();
        for slot in slots {
            let upstream = cluster.find_name(&slot.name()).unwrap().upstream();
            let known =
                before.get(&slot.number).copied().filter(|cell| Arc::ptr_eq(&self.cells[*cell].upstream, upstream));
            let index = known.unwrap_or_else(|| {
                self.cells.push(Cell {
                    upstream: Arc::clone(upstream),
                    slot: slot.clone(),
                    witness: Witness::new(now),
                    state,
                    cause: Cause::Added,
                    in_flight: 0,
                    decided: [0; Decision::COUNT],
                    times_gone: 0,
                    down_at: 0,
                    learned_at: 0,
                    admitted: VecDeque::new(),
                });
                self.cells.len() - 1
            });
            self.cells[index].slot = slot.clone();
            self.members.insert(slot.number, index);
        }
        self.drains.retain(|slot, _| self.members.contains_key(slot));
    }

    /// Checks the balancer's events against the witness. Call it after every input to the balancer.
    pub fn check_events(&mut self, now: u64, tally: &mut Tally) -> Check {
        while let Some(event) = self.events.poll() {
            self.rest = 0;
            match event.kind {
                EventKind::Changed { from, to, cause } => {
                    let name = event.upstream.as_deref().unwrap_or_default();
                    let member = self.members.values().find(|cell| self.cells[**cell].upstream.name() == name);
                    ensure!(member.is_some(), Membership, "an event of {name}, which is not in the cluster");
                    let cell = &mut self.cells[*member.unwrap()];
                    ensure!(cell.state == from, Evidence, "{name} was {}, and the event says {event}", cell.state);
                    let is_drained = self.drains.contains_key(&cell.slot.number);
                    let has_jumped = self.jumped_at > 0 && matches!(cause, Cause::Silent(_));
                    let borne_out = has_jumped || cell.witness.bears_out(from, to, cause, &self.health, now);
                    // A drain hides changes of health, which show when it ends.
                    let is_uncovered = is_drained || from == State::Draining;
                    ensure!(borne_out || is_uncovered, Evidence, "no evidence for {event}");
                    if from == State::Down || to == State::SlowStart {
                        cell.witness.forgive();
                    }
                    if to == State::Down {
                        cell.times_gone += 1;
                        cell.down_at = now;
                        tally.count("went down", cause_name(cause));
                    } else if to == State::Suspect {
                        tally.count("judged", cause_name(cause));
                    }
                    (cell.state, cell.cause) = (to, cause);
                }
                EventKind::PanicBegan | EventKind::PanicEnded => {
                    let begins = event.kind == EventKind::PanicBegan;
                    ensure!(self.panics != begins, Cap, "panic began or ended twice");
                    self.panics = begins;
                    tally.count("panic", if begins { "began" } else { "ended" });
                }
                EventKind::Restarted { .. } => tally.count("noticed", "restarted"),
                EventKind::Drained => tally.count("noticed", "drained"),
                other => panic!("an unknown event: {other:?}"),
            }
        }
        Ok(())
    }

    /// Makes a full check after an event, and otherwise every 16th tick.
    pub fn check_now_and_then(&mut self, now: u64) -> Check {
        /// A full check costs far more than a tick.
        const EVERY: u8 = 16;
        match self.rest.checked_sub(1) {
            Some(left) => {
                self.rest = left;
                Ok(())
            }
            None => {
                self.rest = EVERY;
                self.check(now)
            }
        }
    }

    /// Checks that availability follows from the state, and that judgements keep to their cap.
    pub fn check(&mut self, now: u64) -> Check {
        ensure!(self.panics == self.balancer.panics(), Cap, "panic is not what the events said");
        for status in self.balancer.status() {
            let slot: usize = status.name["app-".len()..].parse().expect("upstreams are numbered");
            let Some(cell) = self.members.get(&slot).map(|cell| &mut self.cells[*cell]) else {
                ensure!(false, Membership, "app-{slot} was removed, and is {status:?}");
                continue;
            };
            ensure!(cell.state == status.state, Evidence, "events say {}, and the status {status:?}", cell.state);
            // An upstream down by judgement may be down by proof meanwhile, which is no event.
            cell.cause = status.cause;
        }
        let members: Vec<&Cell> = self.members.values().map(|cell| &self.cells[*cell]).collect();
        for cell in &members {
            let name = cell.upstream.name();
            let drain = self.drains.get(&cell.slot.number);
            ensure!(
                drain.is_some() == (cell.state == State::Draining) || cell.state == State::Down,
                TakesNoNew,
                "{name} is {} and its drain is {drain:?}",
                cell.state
            );
            let leaves = drain.is_some_and(Option::is_some);
            let departs = cell.upstream.drain_deadline(0).is_some();
            ensure!(departs == leaves, PinHolds, "sessions leave {name}: {departs}, and its drain is {drain:?}");
            let has_left = drain.is_some_and(|end| end.is_some_and(|end| self.clock(now) >= end));
            let expected = match cell.state {
                State::Draining if has_left => Availability::DOWN,
                State::Suspect | State::Down if self.panics && cell.is_judged() => match cell.witness.says_full() {
                    // A drain and the upstream's own report are no judgements.
                    _ if has_left => Availability::DOWN,
                    is_full if is_full || drain.is_some() => Availability::DRAINING,
                    _ => Availability::ACTIVE,
                },
                state => state.availability(),
            };
            let availability = cell.upstream.availability();
            // The end of a drain takes effect at the next tick, or two seconds early after a clock went back by less. A
            // clock that went back further postpones it, from the next tick on.
            let soon = Timestamp::from_millis(self.clock(now).as_millis() + 2000);
            let has_just_jumped = self.jumped_at > 0 && now <= self.jumped_at + LONGEST_TICK;
            let has_nearly_left = drain.is_some_and(|end| end.is_some_and(|end| soon >= end || has_just_jumped));
            let ends = [Availability::DRAINING, Availability::DOWN];
            let is_right = availability == expected
                || (has_nearly_left && ends.contains(&availability) && ends.contains(&expected));
            let takes_too_many = availability.accepting && !expected.accepting;
            ensure!(!takes_too_many, TakesNoNew, "{name} is {} (panic: {}) and accepts", cell.state, self.panics);
            ensure!(
                is_right,
                Evidence,
                "{name} is {} (panic: {}) and its availability is {availability:?}",
                cell.state,
                self.panics
            );
            let is_gone = cell.witness.is_proven_gone(&self.health);
            ensure!(!is_gone || !availability.serving, Evidence, "{name} is proven gone, and is {}", cell.state);
        }
        self.check_cap(&members)
    }

    /// Checks the cap on judgements. A drain hides an upstream's health, so nothing is checked while there is one.
    fn check_cap(&self, members: &[&Cell]) -> Check {
        if !self.drains.is_empty() {
            return Ok(());
        }
        let judged = members.iter().filter(|cell| cell.is_judged()).count();
        let out = members.iter().filter(|cell| cell.is_judged() || cell.state == State::Down).count();
        let cap = members.len() as f64 * self.health.outlier.max_ejected;
        let (must, may) = (judged > 0 && out as f64 > cap, judged > 0 && out as f64 > cap / 2.0);
        ensure!(self.panics || !must, Cap, "{out} of {} are out, {judged} judged, and no panic", members.len());
        ensure!(!self.panics || may, Cap, "{out} of {} are out, {judged} judged, and panic", members.len());
        Ok(())
    }

    /// Checks at the end that nothing is in flight and all decisions are counted.
    pub fn check_counts(&self) -> Check {
        for cell in &self.cells {
            let (upstream, name) = (&cell.upstream, cell.upstream.name());
            ensure!(upstream.in_flight() == 0, Leases, "{} in flight on {name} at the end", upstream.in_flight());
            for decision in Decision::all() {
                let (counted, made) = (upstream.decided(decision), cell.decided[decision.index()]);
                ensure!(counted == made, Counters, "{name} counts {counted} {decision}, and {made} were made");
            }
            let all = cell.decided.iter().sum::<u64>();
            ensure!(upstream.total() == all, Counters, "{name} counts {} requests of {all}", upstream.total());
        }
        Ok(())
    }
}

fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::ConnectRefused => "connect refused",
        Cause::ConnectTimedOut(_) => "connect timed out",
        Cause::Unanswered(_) => "unanswered",
        Cause::Failures(_) => "failures",
        Cause::FailureRate(_) => "failure rate",
        Cause::Silent(_) => "silent",
        Cause::ProbeRefused => "probe refused",
        Cause::ProbeTimedOut(_) => "probe timed out",
        Cause::ProbeStatus(_) => "probe status",
        Cause::Operator => "operator",
        _ => "other",
    }
}
