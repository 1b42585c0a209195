//! Rebalancing after a scale-out: at the budget's rate, longest idle sessions first, the same sessions on every proxy,
//! and none twice.

use crate::{NOW, ring, session_id, upstreams};
use homing::affinity::Rebalance;
use homing::health::Outcome;
use homing::rng::SeededEntropy;
use homing::{Affinity, Balancer, Change, Decision, PinLoss, Request, SessionGuard, Timestamp, Token};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

const BEFORE: usize = 20;
const AFTER: usize = 30;
const SESSIONS: usize = 3000;
/// Sessions a minute.
const BUDGET: u32 = 120;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn builder(budget_per_minute: u32) -> homing::balancer::BalancerBuilder {
    Balancer::builder()
        .upstreams(upstreams(BEFORE))
        .policy("round_robin")
        .affinity(Affinity::builder(ring(0, &[])).build().unwrap())
        .rebalance(Rebalance::default().budget_per_minute(budget_per_minute))
        .entropy(SeededEntropy::new(11))
}

struct Session {
    token: Token,
    /// The seconds between its requests.
    every: u64,
    next: Timestamp,
    moves: u32,
}

/// Proxies, the sessions that they share, and their time.
struct World {
    proxies: Vec<Balancer>,
    now: Timestamp,
    sessions: Vec<Session>,
    requests: usize,
    /// Moves: the session, its upstream before, the seconds between its requests, and the proxy.
    moved: Vec<(usize, String, u64, usize)>,
}

impl World {
    /// `every` gives the seconds between the requests of a session, by its number.
    fn new(proxies: Vec<Balancer>, every: impl Fn(usize) -> u64) -> Self {
        let mut world = Self { proxies, now: NOW, sessions: Vec::new(), requests: 0, moved: Vec::new() };
        world.proxies.iter().for_each(|proxy| proxy.tick(NOW));
        for number in 0..SESSIONS {
            let pick = world.proxies[number % world.proxies.len()].pick(&Request::new(NOW)).unwrap();
            let every = every(number);
            let next = NOW.after(secs(1 + session_id(&pick.token.unwrap()) % every));
            world.sessions.push(Session { token: pick.token.unwrap(), every, next, moves: 0 });
        }
        world
    }

    fn scale_out(&self) {
        for proxy in &self.proxies {
            let more: Vec<_> = upstreams(AFTER).into_iter().skip(BEFORE).map(Change::Put).collect();
            proxy.apply(proxy.plan(&more).unwrap()).unwrap();
        }
    }

    /// Advances the time in steps of 200 ms. The requests of one session alternate between the proxies.
    fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            self.now = self.now.after(Duration::from_millis(200));
            self.proxies.iter().for_each(|proxy| proxy.tick(self.now));
            for number in 0..self.sessions.len() {
                if self.sessions[number].next <= self.now {
                    self.come(number);
                }
            }
        }
    }

    fn come(&mut self, number: usize) {
        self.requests += 1;
        let by = (number + self.requests / 7) % self.proxies.len();
        let (session, proxy) = (&mut self.sessions[number], &self.proxies[by]);
        let tokens = [session.token.as_bytes()];
        let request = Request::new(self.now).tokens(&tokens);
        let explained = proxy.explain(&request);
        let from = pinned(proxy, &session.token);
        let pick = proxy.pick(&request).unwrap();
        assert_eq!(explained.upstream.as_deref(), Some(pick.upstream().name()), "{explained}");
        assert_eq!(explained.decision, Some(pick.decision), "{explained}");
        proxy.report(pick.upstream(), Outcome::Answered, self.now);
        match pick.decision {
            Decision::Pinned => assert_eq!(pick.upstream().name(), from),
            Decision::PinLost(PinLoss::Rebalanced) => {
                assert_ne!(pick.upstream().name(), from);
                self.moved.push((number, from, session.every, by));
                session.moves += 1;
            }
            other => unreachable!("{other}"),
        }
        session.token = pick.token.unwrap_or(session.token);
        session.next = self.now.after(secs(session.every));
    }

    /// The number of sessions of each upstream.
    fn guarded(&self) -> BTreeMap<String, usize> {
        let names = self.proxies[0].cluster().members().iter().map(|m| (m.upstream().name().to_owned(), 0)).collect();
        self.sessions.iter().fold(names, |mut held: BTreeMap<_, _>, session| {
            *held.entry(pinned(&self.proxies[0], &session.token)).or_default() += 1;
            held
        })
    }
}

/// The upstream that a token names.
fn pinned(proxy: &Balancer, token: &Token) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.as_bytes()).unwrap();
    let id = u64::from_be_bytes(bytes[1..9].try_into().unwrap());
    let cluster = proxy.cluster();
    let member = cluster.members().iter().find(|member| member.upstream().id().as_u64() == id).unwrap();
    member.upstream().name().to_owned()
}

/// Each session makes about one request per minute.
fn steady(number: usize) -> u64 {
    50 + number as u64 % 20
}

fn spread(held: &BTreeMap<String, usize>) -> (usize, usize) {
    (*held.values().min().unwrap(), *held.values().max().unwrap())
}

#[test]
fn sessions_even_out_at_the_budgets_rate_and_none_moves_twice() {
    let mut world = World::new(vec![builder(BUDGET).build().unwrap()], steady);
    world.pass(secs(120));
    assert!(world.moved.is_empty(), "sessions of an even cluster moved");
    world.scale_out();
    for minute in 1..=12_usize {
        world.pass(secs(60));
        let most = BUDGET as usize * minute + 32;
        assert!(world.moved.len() <= most, "{} moved in {minute} minutes", world.moved.len());
        if minute <= 6 {
            assert!(
                world.moved.len() >= BUDGET as usize * minute * 8 / 10,
                "{} moved in {minute} minutes",
                world.moved.len()
            );
        }
    }
    // A third is to move: a thousand, or 5 % less. The targets are random, with a deviation of nine sessions of a
    // hundred.
    let moved = world.moved.len();
    assert!((850..=1050).contains(&moved), "{moved} moved");
    let (least, most) = spread(&world.guarded());
    assert!(least >= 65 && most <= 112, "{least} to {most}, of 100: {:?}", world.guarded());
    assert!(world.sessions.iter().all(|session| session.moves <= 1), "a session moved twice");
    // Rebalancing is over.
    world.pass(secs(900));
    assert!(world.moved.len() - moved < 30, "{} more moved", world.moved.len() - moved);
}

#[test]
fn a_budget_of_zero_moves_no_session() {
    let mut world = World::new(vec![builder(0).build().unwrap()], steady);
    world.scale_out();
    world.pass(secs(300));
    assert!(world.moved.is_empty());
    assert_eq!(spread(&world.guarded()), (0, 150));
}

#[test]
fn the_longest_idle_sessions_move_first() {
    // Two of three sessions are busy, the third makes a request every ten minutes: after several windows of 128 s.
    let mut world = World::new(vec![builder(20).build().unwrap()], |number| if number % 3 == 0 { 600 } else { 20 });
    world.pass(secs(600));
    world.scale_out();
    world.pass(secs(480));
    let idle = world.moved.iter().filter(|(_, _, every, _)| *every == 600).count();
    let moved = world.moved.len();
    assert!(moved > 120, "only {moved} moved");
    // By chance it would be less than a third; and busy sessions make thirty times as many requests.
    assert!(idle * 10 > moved * 7, "{idle} of {moved} had been idle");
}

#[test]
fn a_session_with_an_open_websocket_does_not_move_however_long_it_is_idle() {
    let mut world = World::new(vec![builder(BUDGET).build().unwrap()], steady);
    world.pass(secs(120));
    let cluster = world.proxies[0].cluster();
    let upstream =
        |session: &Session| cluster.find_name(&pinned(&world.proxies[0], &session.token)).unwrap().upstream();
    let guard = |session: &Session| upstream(session).guard_session(session_id(&session.token));
    let guards: Vec<SessionGuard> = world.sessions.iter().step_by(2).map(guard).collect();
    world.scale_out();
    world.pass(secs(300));
    assert!(world.moved.len() > 200);
    assert!(world.moved.iter().all(|(number, ..)| number % 2 == 1), "a guarded session moved");
    drop(guards);
    // They stay guarded for one to two windows, as after a broken WebSocket; then they are like the others.
    let moved = world.moved.len();
    world.pass(secs(100));
    assert!(
        world.moved[moved..].iter().all(|(number, ..)| number % 2 == 1),
        "a session whose WebSocket just closed moved"
    );
    world.pass(secs(500));
    assert!(world.moved.iter().any(|(number, ..)| number % 2 == 0), "no session that was guarded before moved");
}

#[test]
fn the_veto_holds() {
    let veto = |candidate: &homing::affinity::Candidate<'_>| {
        assert_ne!(candidate.from.id(), candidate.to.id());
        candidate.session_id.is_multiple_of(2) || candidate.idle > secs(3600)
    };
    let mut world = World::new(vec![builder(BUDGET).veto(veto).build().unwrap()], steady);
    world.scale_out();
    world.pass(secs(300));
    assert!(world.moved.len() > 200);
    let session_ids: HashSet<u64> =
        world.moved.iter().map(|moved| session_id(&world.sessions[moved.0].token)).collect();
    assert!(session_ids.iter().all(|session_id| session_id % 2 == 1), "a vetoed session moved");
}

#[test]
fn proxies_with_the_same_view_choose_mostly_the_same_sessions() {
    let chosen = |seed: u64| -> HashSet<usize> {
        // The same sessions, with requests at other times.
        let mut world = World::new(vec![builder(BUDGET).build().unwrap()], |number| 40 + (number as u64 * seed) % 37);
        world.scale_out();
        world.pass(secs(720));
        world.moved.iter().map(|moved| moved.0).collect()
    };
    let (one, other) = (chosen(3), chosen(11));
    let both = one.intersection(&other).count();
    assert!(one.len() > 800 && other.len() > 800, "{} and {}", one.len(), other.len());
    // By chance they would share a third of their sessions.
    assert!(both * 10 > one.len().max(other.len()) * 8, "{both} of {} and {}", one.len(), other.len());
}

#[test]
fn two_proxies_move_no_more_than_one() {
    let proxies = vec![builder(BUDGET).build().unwrap(), builder(BUDGET).build().unwrap()];
    let mut world = World::new(proxies, steady);
    world.pass(secs(120));
    world.scale_out();
    world.pass(secs(1200));
    let moved = world.moved.len();
    assert!((850..=1150).contains(&moved), "{moved} moved");
    assert!((0..2).all(|by| world.moved.iter().filter(|moved| moved.3 == by).count() > 200));
    let twice = world.sessions.iter().filter(|session| session.moves > 1).count();
    assert!(twice < 12, "{twice} moved twice");
}

#[test]
fn a_second_scale_out_moves_sessions_again() {
    let mut world = World::new(vec![builder(600).build().unwrap()], steady);
    world.scale_out();
    world.pass(secs(600));
    let first = world.moved.len();
    let more: Vec<_> = upstreams(45).into_iter().skip(AFTER).map(Change::Put).collect();
    world.proxies[0].apply(world.proxies[0].plan(&more).unwrap()).unwrap();
    world.pass(secs(1200));
    // A third of all sessions again.
    let second = world.moved.len() - first;
    assert!((800..=1100).contains(&second), "{first}, then {second}");
    let (least, most) = spread(&world.guarded());
    assert!(least >= 40 && most <= 78, "{least} to {most}, of 67");
}
