//! A simulation of users in front of several proxies, in virtual time and without sockets.
//!
//! Users arrive at a steady rate; each opens a session, makes requests at its own rate and leaves after an exponential
//! time. Each request goes through a random proxy, whose [`Balancer`] picks the upstream; the proxies share nothing but
//! their keys. All randomness comes from one seed, so a run is reproducible.

use homing::policy::Params;
use homing::rng::SeededEntropy;
use homing::{Affinity, Availability, Balancer, Change, KeyRing, Lease, Request, Timestamp, Token, UpstreamConfig};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
/// The mean life of a session, in seconds; lives are exponential.
pub const MEAN_LIFE: f64 = 1200.0;
/// Requests per second of a session: a Pareto distribution from `SLOWEST`, cut off at `FASTEST`. A tenth of the users
/// send half of the requests; the median user sends one every 53 s.
const SLOWEST: f64 = 1.0 / 90.0;
const FASTEST: f64 = 2.0;
const SHAPE: f64 = 1.3;
/// The mean time that a request is in flight, in seconds, exponential.
const SERVICE: f64 = 0.1;
/// The seconds within which the first sessions begin.
const RAMP: f64 = 60.0;

/// The parameters of a simulation.
pub struct Setup {
    pub policy: &'static str,
    pub params: Params,
    /// Whether clients have tokens.
    pub affinity: bool,
    pub proxies: usize,
    /// The number of upstreams, named `app-1` and so on.
    pub upstreams: usize,
    /// The average number of sessions.
    pub sessions: usize,
    pub seed: u64,
    /// The address of a new user.
    pub address: fn(&Dice) -> IpAddr,
}

/// Seeded random choices.
pub struct Dice(SeededEntropy);

impl Dice {
    /// Uniform in (0, 1).
    pub fn uniform(&self) -> f64 {
        ((self.0.draw() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Uniform in `0..count`.
    pub fn below(&self, count: usize) -> usize {
        ((u128::from(self.0.draw()) * count as u128) >> 64) as usize
    }

    fn exponential(&self, mean: f64) -> f64 {
        -self.uniform().ln() * mean
    }

    fn rate(&self) -> f64 {
        (SLOWEST * self.uniform().powf(-1.0 / SHAPE)).min(FASTEST)
    }
}

/// A uniformly random IPv4 address.
pub fn anywhere(dice: &Dice) -> IpAddr {
    Ipv4Addr::from_bits((dice.uniform() * f64::from(u32::MAX)) as u32).into()
}

struct Session {
    client: IpAddr,
    token: Option<Token>,
    rate: f64,
    ends: f64,
    /// The index of the upstream that has its state.
    pinned: usize,
}

enum What {
    /// The next user arrives.
    Arrival,
    Request(Box<Session>),
    Response(Lease),
}

struct Event {
    at: f64,
    number: u64,
    what: What,
}

/// The earliest event is the greatest, for a max-heap; ties go to the one that was scheduled first.
impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Event {}

/// The state of a simulation.
pub struct World {
    setup: Setup,
    proxies: Vec<Balancer>,
    dice: Dice,
    events: BinaryHeap<Event>,
    made: u64,
    /// Seconds since the start.
    second: usize,
    /// The number of live sessions on each upstream.
    pub live: Vec<u32>,
    /// `live` at each second.
    pub history: Vec<Vec<u32>>,
    /// The number of requests so far that reached an upstream without their session's state.
    pub broken: usize,
}

impl World {
    /// The state at second 0: no session yet, and the first users scheduled.
    pub fn new(setup: Setup) -> Result<Self, Box<dyn Error>> {
        let proxies = (0..setup.proxies).map(|number| proxy(&setup, number as u64)).collect::<Result<_, _>>()?;
        let dice = Dice(SeededEntropy::new(setup.seed));
        let live = vec![0; setup.upstreams];
        let (events, history) = (BinaryHeap::new(), Vec::new());
        let mut world = Self { setup, proxies, dice, events, made: 0, second: 0, live, history, broken: 0 };
        for _ in 0..world.setup.sessions {
            let at = world.dice.uniform() * RAMP;
            world.arrive(at);
        }
        world.schedule(RAMP, What::Arrival);
        Ok(world)
    }

    /// Runs until `second`.
    pub fn run_until(&mut self, second: usize) -> Result<(), Box<dyn Error>> {
        while self.second < second {
            self.history.push(self.live.clone());
            self.second += 1;
            while self.events.peek().is_some_and(|event| event.at < self.second as f64) {
                let Some(Event { at, what, .. }) = self.events.pop() else { break };
                match what {
                    What::Arrival => {
                        self.arrive(at);
                        let pause = self.dice.exponential(MEAN_LIFE / self.setup.sessions as f64);
                        self.schedule(at + pause, What::Arrival);
                    }
                    What::Request(session) => self.request(at, session)?,
                    What::Response(lease) => drop(lease),
                }
            }
        }
        Ok(())
    }

    /// Adds upstreams up to `count`, on all proxies at the same time.
    pub fn grow(&mut self, count: usize) -> Result<(), Box<dyn Error>> {
        let changes: Vec<Change> = (self.live.len()..count).map(|index| Change::Put(upstream(index))).collect();
        for proxy in &self.proxies {
            proxy.apply(proxy.plan(&changes)?)?;
        }
        self.live.resize(count, 0);
        Ok(())
    }

    /// Changes the availability of one upstream, on all proxies at the same time.
    pub fn set_availability(&self, index: usize, availability: Availability) {
        for proxy in &self.proxies {
            proxy.cluster().members()[index].upstream().set_availability(availability);
        }
    }

    fn schedule(&mut self, at: f64, what: What) {
        self.made += 1;
        self.events.push(Event { at, number: self.made, what });
    }

    fn arrive(&mut self, at: f64) {
        let (client, rate) = ((self.setup.address)(&self.dice), self.dice.rate());
        let ends = at + self.dice.exponential(MEAN_LIFE);
        self.schedule(at, What::Request(Box::new(Session { client, token: None, rate, ends, pinned: usize::MAX })));
    }

    /// A request of the session, or the session's end.
    fn request(&mut self, at: f64, mut session: Box<Session>) -> Result<(), Box<dyn Error>> {
        if at >= session.ends {
            self.live[session.pinned] -= 1;
            return Ok(());
        }
        let now = Timestamp::from_millis(START.as_millis() + (at * 1000.0) as u64);
        let proxy = &self.proxies[self.dice.below(self.proxies.len())];
        let carried = session.token;
        let tokens = carried.as_ref().map(Token::as_bytes);
        let pick = proxy.pick(&Request::new(now).client(session.client).tokens(tokens.as_slice()))?;
        let place: usize = pick.upstream().name().trim_start_matches("app-").parse()?;
        let pinned = place - 1;
        if pinned != session.pinned {
            self.live[pinned] += 1;
            if let Some(left) = self.live.get_mut(session.pinned) {
                *left -= 1;
                self.broken += 1;
            }
            session.pinned = pinned;
        }
        session.token = pick.token.or(session.token);
        let served = at + self.dice.exponential(SERVICE);
        self.schedule(served, What::Response(pick.lease));
        let next = at + self.dice.exponential(1.0 / session.rate);
        self.schedule(next.min(session.ends), What::Request(session));
        Ok(())
    }
}

fn upstream(index: usize) -> UpstreamConfig {
    UpstreamConfig::new(format!("app-{}", index + 1), "10.0.0.1:8080")
}

fn proxy(setup: &Setup, number: u64) -> Result<Balancer, Box<dyn Error>> {
    let mut builder = Balancer::builder()
        .upstreams((0..setup.upstreams).map(upstream))
        .policy_params(setup.policy, setup.params.clone())
        .entropy(SeededEntropy::new(setup.seed ^ (number + 1) << 32));
    if setup.affinity {
        let keys = KeyRing::builder("simulation", [1; 32]).sign_with(0, [2; 32]).build()?;
        builder = builder.affinity(Affinity::builder(keys).build()?);
    }
    Ok(builder.build()?)
}
