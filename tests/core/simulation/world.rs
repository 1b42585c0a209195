//! The simulated world: a queue of events in virtual time, and the state that they change.

use crate::simulation::controls::Sabotage;
use crate::simulation::dice::Dice;
use crate::simulation::fleet::Fleet;
use crate::simulation::host::{Travel, Try};
use crate::simulation::invariants::{Check, Violation, ensure};
use crate::simulation::proxy::{LONGEST_TICK, Proxy, Slot};
use crate::simulation::scenario::{self, MINUTE, SECOND, Scenario};
use crate::simulation::session::User;
use crate::simulation::tally::Tally;
use crate::simulation::trouble::{Order, Rotation};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

#[derive(Clone, Debug)]
pub enum Event {
    /// A user opens a page.
    Page {
        user: usize,
    },
    /// A request asks for a place, for the first time or again.
    TryPick {
        travel: usize,
    },
    Connect(Try),
    ConnectTimeout(Try),
    /// The process begins to work on it.
    Work {
        attempt: Try,
        site: usize,
        incarnation: u16,
    },
    Head(Try),
    End(Try),
    Deadline(Try),
    Tick {
        proxy: usize,
    },
    Probe {
        proxy: usize,
        cell: usize,
    },
    ProbeEnds {
        proxy: usize,
        cell: usize,
    },
    /// A random fault.
    Trouble,
    Kill {
        site: usize,
    },
    Start {
        site: usize,
    },
    Continue {
        site: usize,
    },
    Recover {
        site: usize,
    },
    /// An order of the operator arrives at one proxy.
    OrderArrives {
        proxy: usize,
        order: Order,
    },
    Rotate,
}

struct Entry {
    at: u64,
    number: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

pub struct World {
    pub now: u64,
    pub dice: Dice,
    pub scenario: Scenario,
    pub sabotage: Option<Sabotage>,
    pub fleet: Fleet,
    pub proxies: Vec<Proxy>,
    pub users: Vec<User>,
    pub travels: Vec<Travel>,
    /// The configured cluster, and the upstreams removed from it.
    pub slots: Vec<Slot>,
    pub removed: Vec<Slot>,
    pub next_slot: usize,
    pub rotation: Rotation,
    pub tally: Tally,
    /// The failover target of a session, by its session id and the hash of the set of available upstreams.
    pub failover_targets: HashMap<(u64, u64), usize>,
    /// When a session left an upstream that was gone.
    pub moves: HashMap<(u64, usize, usize, u64), u64>,
    /// Rebalanced sessions: session id, slot before, slot after. Cleared when weights change, which changes orders.
    pub rebalanced_moves: HashSet<(u64, usize, usize)>,
    /// Whether to print a log of all events.
    pub is_verbose: bool,
    queue: BinaryHeap<Reverse<Entry>>,
    scheduled: u64,
}

impl World {
    pub fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let dice = Dice::new(seed);
        let scenario = scenario::draw(&dice);
        let mut fleet = Fleet::default();
        let slots: Vec<Slot> = (0..scenario.upstreams)
            .map(|number| Slot {
                number,
                site: fleet.open(),
                weight: dice.one_of(&[1, 1, 1, 2, 5]),
                limit: scenario.limit,
            })
            .collect();
        let proxies: Vec<Proxy> = (0..scenario.proxies).map(|_| Proxy::new(&scenario, &slots, &dice)).collect();
        let users = (0..scenario.sessions).map(|number| User::new(number, dice.between(1, 30) * SECOND)).collect();
        let mut world = Self {
            now: 0,
            next_slot: slots.len(),
            dice,
            scenario,
            sabotage,
            fleet,
            proxies,
            users,
            travels: Vec::new(),
            slots,
            removed: Vec::new(),
            rotation: Rotation::default(),
            tally: Tally { seeds: 1, ..Tally::default() },
            failover_targets: HashMap::new(),
            moves: HashMap::new(),
            rebalanced_moves: HashSet::new(),
            is_verbose: false,
            queue: BinaryHeap::new(),
            scheduled: 0,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for user in 0..self.users.len() {
            let at = self.dice.between(0, self.scenario.length);
            self.after(at, Event::Page { user });
        }
        for proxy in 0..self.proxies.len() {
            self.after(self.scenario.tick, Event::Tick { proxy });
            let cells: Vec<usize> = self.proxies[proxy].members.values().copied().collect();
            cells.into_iter().for_each(|cell| self.probe_later(proxy, cell));
        }
        self.after(self.scenario.trouble, Event::Trouble);
    }

    pub fn after(&mut self, delay: u64, event: Event) {
        self.scheduled += 1;
        self.queue.push(Reverse(Entry { at: self.now + delay, number: self.scheduled, event }));
    }

    /// Whether no more pages and faults begin; requests in progress finish.
    pub fn is_closing(&self) -> bool {
        self.now >= self.scenario.length
    }

    pub fn log(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            println!("{:>12.3} {}", self.now as f64 / 1000.0, what());
        }
    }

    /// Runs to the end, or to the first violation.
    pub fn run(&mut self) -> Result<(), Violation> {
        while let Some(Reverse(Entry { at, event, .. })) = self.queue.pop() {
            self.now = at;
            self.happen(event).map_err(|violation| Violation {
                detail: format!("at {:.3} s: {}", self.now as f64 / 1000.0, violation.detail),
                ..violation
            })?;
        }
        self.tally.millis = self.scenario.length;
        self.tally.requests = self.travels.len() as u64;
        let open = self.travels.iter().position(|travel| !travel.is_over());
        ensure!(open.is_none(), Answered, "request {open:?} was never answered");
        self.proxies.iter().try_for_each(Proxy::check_counts)
    }

    fn happen(&mut self, event: Event) -> Check {
        match event {
            Event::Page { user } => self.page(user),
            Event::TryPick { travel } => self.try_pick(travel),
            Event::Connect(attempt) => self.connect(attempt),
            Event::ConnectTimeout(attempt) => self.connect_timeout(attempt),
            Event::Work { attempt, site, incarnation } => self.work(attempt, site, incarnation),
            Event::Head(attempt) => self.head(attempt),
            Event::End(attempt) => self.end(attempt),
            Event::Deadline(attempt) => self.deadline(attempt),
            Event::Tick { proxy } => self.tick(proxy),
            Event::Probe { proxy, cell } => self.probe(proxy, cell),
            Event::ProbeEnds { proxy, cell } => self.probe_ends(proxy, cell),
            Event::Trouble => self.trouble(),
            Event::Kill { site } => self.kill(site),
            Event::Start { site } => self.start(site),
            Event::Continue { site } => self.go_on(site),
            Event::Recover { site } => self.recover(site),
            Event::OrderArrives { proxy, order } => self.apply_order(proxy, order),
            Event::Rotate => self.rotate(),
        }
    }

    fn tick(&mut self, proxy: usize) -> Check {
        let now = self.now;
        let ticked = &mut self.proxies[proxy];
        ticked.balancer.tick(ticked.clock(now));
        ticked.check_events(now, &mut self.tally)?;
        ticked.check_now_and_then(now)?;
        // Longer ticks while the proxy is idle.
        let is_busy = ticked.cells.iter().any(|cell| cell.in_flight > 0) || !ticked.is_well();
        let delay = if is_busy { self.scenario.tick } else { LONGEST_TICK };
        if !self.is_over() {
            self.after(delay, Event::Tick { proxy });
        }
        Ok(())
    }

    /// Two minutes after the last page, when no request can be in progress.
    pub fn is_over(&self) -> bool {
        self.now >= self.scenario.length + 2 * MINUTE
    }
}
