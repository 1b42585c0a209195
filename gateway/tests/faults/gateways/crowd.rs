//! Sessions that ask any gateway at each visit, as behind DNS or ECMP.

use super::gate::Gate;
use crate::clients::{Clients, Rounds};
use crate::record;
use crate::session::{Link, Session, Visit};
use homing::rng::SeededEntropy;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Sessions that one client has, and how long it takes from one to the next: each visits about once a second.
const EACH: u32 = 10;
const PERIOD: Duration = Duration::from_millis(100);

/// Where the gateways are, as a name server with health checks would say it.
#[derive(Clone)]
pub struct Fronts(Arc<Mutex<Vec<Option<SocketAddr>>>>);

impl Fronts {
    pub fn of(gates: &[Gate]) -> Self {
        Self(Arc::new(Mutex::new(gates.iter().map(|gate| Some(gate.address())).collect())))
    }

    pub fn set(&self, gateway: usize, address: Option<SocketAddr>) {
        self.0.lock().expect("lock")[gateway] = address;
    }

    pub fn all(&self) -> Vec<SocketAddr> {
        self.0.lock().expect("lock").iter().flatten().copied().collect()
    }

    fn choose(&self, dice: &SeededEntropy) -> (usize, SocketAddr) {
        let fronts = self.0.lock().expect("lock");
        let there: Vec<_> =
            fronts.iter().enumerate().filter_map(|(index, front)| front.map(|at| (index, at))).collect();
        there[(dice.draw() % there.len() as u64) as usize]
    }
}

/// The instance that last answered each session, and when: the truth about live sessions.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<HashMap<u32, (u64, String)>>>);

impl Ledger {
    pub fn note(&self, visit: &Visit) {
        if let Some(instance) = visit.instance() {
            self.0.lock().expect("lock").insert(visit.session, (visit.ended, instance.to_owned()));
        }
    }

    /// Those with a visit in this window or the last, windows being so many seconds long.
    pub fn live(&self, window: u64) -> BTreeMap<String, usize> {
        let since = (record::now() / 1_000_000 / window - 1) * window * 1_000_000;
        let mut live = BTreeMap::new();
        for (at, instance) in self.0.lock().expect("lock").values() {
            if *at >= since {
                *live.entry(instance.clone()).or_default() += 1;
            }
        }
        live
    }
}

pub struct Seen {
    pub visit: Visit,
    /// The gateway.
    pub front: usize,
}

pub struct Crowd {
    fronts: Fronts,
    ledger: Ledger,
    clients: Clients<Seen>,
}

impl Crowd {
    pub fn new(fronts: &Fronts, ledger: &Ledger) -> Self {
        Self { fronts: fronts.clone(), ledger: ledger.clone(), clients: Clients::none() }
    }

    /// More sessions come.
    pub fn join(&mut self, numbers: Range<u32>) {
        for first in numbers.clone().step_by(EACH as usize) {
            let sessions = Session::several(first..(first + EACH).min(numbers.end));
            let (fronts, ledger) = (self.fronts.clone(), self.ledger.clone());
            self.clients.join(|rounds| client(fronts, ledger, sessions, rounds));
        }
    }

    /// See [`Clients::visits`].
    pub async fn visits(&self, times: u64) {
        self.clients.visits(times).await;
    }

    /// See [`Clients::stop`].
    pub async fn stop(self) -> (Vec<Session>, Vec<Seen>) {
        self.clients.stop().await
    }
}

async fn client(
    fronts: Fronts,
    ledger: Ledger,
    mut sessions: Vec<Session>,
    rounds: Rounds,
) -> (Vec<Session>, Vec<Seen>) {
    let dice = SeededEntropy::new(u64::from(sessions[0].number));
    let mut links = HashMap::new();
    let mut visits = Vec::new();
    let mut pace = interval(PERIOD);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for session in &mut sessions {
            pace.tick().await;
            if rounds.are_over() {
                return (sessions, visits);
            }
            let (front, address) = fronts.choose(&dice);
            let visit = session.visit(links.entry(address).or_insert_with(|| Link::new(address))).await;
            ledger.note(&visit);
            visits.push(Seen { visit, front });
        }
        rounds.one_more();
    }
}
