//! The documented rotation of signing keys, step by step on three proxies that share nothing but the keys.

use crate::{NOW, balancer_with, ring, upstreams};
use homing::affinity::KeyError;
use homing::{Affinity, Balancer, Decision, KeyRing, PinLoss, Request, Timestamp, Token};
use std::time::Duration;

const PROXIES: usize = 3;
const MAX_AGE: Duration = Duration::from_secs(3600);

/// A client: its token, the upstream of its session, and the session's beginning.
struct Client {
    token: Token,
    pinned: String,
    since: Timestamp,
}

struct Pool {
    proxies: Vec<Balancer>,
    clients: Vec<Client>,
    now: Timestamp,
}

impl Pool {
    fn new() -> Self {
        let affinity = || Affinity::builder(ring(0, &[])).max_age(MAX_AGE).idle(None).build().unwrap();
        let proxies = (0..PROXIES).map(|_| balancer_with(upstreams(5), affinity())).collect();
        Self { proxies, clients: Vec::new(), now: NOW }
    }

    /// New sessions on every proxy.
    fn arrive(&mut self) {
        for proxy in &self.proxies {
            let first = proxy.pick(&Request::new(self.now)).unwrap();
            let pinned = first.upstream().name().to_owned();
            self.clients.push(Client { token: first.token.unwrap(), pinned, since: self.now });
        }
    }

    fn live(&self) -> impl Iterator<Item = (usize, &Client)> {
        let now = self.now;
        self.clients.iter().enumerate().filter(move |(_, c)| now < c.since.after(MAX_AGE))
    }

    /// The pin losses if every client goes to every proxy with the token that it has. Clients for which `returning` is
    /// true store each token that they get; the others keep their old one.
    fn losses(&mut self, returning: fn(usize) -> bool) -> Vec<PinLoss> {
        let mut lost = Vec::new();
        for proxy in 0..PROXIES {
            for (client, pick) in self.visits(proxy) {
                match pick.decision {
                    Decision::PinLost(reason) => lost.push(reason),
                    _ => assert_eq!(pick.upstream().name(), self.clients[client].pinned),
                }
                if returning(client) {
                    self.clients[client].token = pick.token.unwrap_or(self.clients[client].token);
                }
            }
        }
        lost
    }

    fn visits(&self, proxy: usize) -> Vec<(usize, homing::Pick)> {
        let now = self.now;
        let tokens: Vec<(usize, Token)> = self.live().map(|(n, client)| (n, client.token)).collect();
        let pick = |token: &Token| self.proxies[proxy].pick(&Request::new(now).tokens(&[token.as_bytes()])).unwrap();
        tokens.iter().map(|(n, token)| (*n, pick(token))).collect()
    }

    /// Every session is pinned on every proxy: those of clients with frequent requests, and those with old tokens.
    fn assert_no_pin_is_lost(&mut self, step: &str) {
        self.arrive();
        assert_eq!(self.losses(|client| client % 2 == 0), [], "{step}");
    }

    fn set_keys(&mut self, proxy: usize, keys: KeyRing) {
        self.proxies[proxy].set_keys(keys).unwrap();
    }
}

#[test]
fn the_documented_procedure_loses_no_session() {
    let mut pool = Pool::new();
    pool.assert_no_pin_is_lost("before");
    for proxy in 0..PROXIES {
        pool.set_keys(proxy, ring(0, &[1]));
        pool.assert_no_pin_is_lost("1. the new key verifies, here and there");
    }
    for proxy in 0..PROXIES {
        pool.set_keys(proxy, ring(1, &[0]));
        pool.assert_no_pin_is_lost("2. the new key signs, here and there");
    }
    // Clients that made no request since still have tokens of the old key, until their sessions end.
    let old = |pool: &Pool| pool.live().filter(|(_, c)| c.since == NOW).count();
    assert!(old(&pool) > 0);
    for quarter in 1..=4 {
        pool.now = NOW.after(MAX_AGE * quarter / 4);
        pool.assert_no_pin_is_lost("while the old key is still there");
    }
    assert_eq!(old(&pool), 0, "the longest age has passed");
    for proxy in 0..PROXIES {
        pool.set_keys(proxy, ring(1, &[]));
        pool.assert_no_pin_is_lost("3. the old key is retired, here and there");
    }
}

#[test]
fn signing_before_the_others_verify_loses_sessions() {
    let mut pool = Pool::new();
    pool.set_keys(0, ring(1, &[0]));
    pool.arrive();
    assert_eq!(
        pool.losses(|_| false),
        [PinLoss::UnknownKey; PROXIES - 1],
        "each of the others loses the client of the first"
    );
}

#[test]
fn retiring_a_key_before_the_longest_age_loses_sessions() {
    let mut pool = Pool::new();
    pool.arrive();
    for proxy in 0..PROXIES {
        pool.set_keys(proxy, ring(0, &[1]));
    }
    for proxy in 0..PROXIES {
        pool.set_keys(proxy, ring(1, &[0]));
    }
    pool.now = NOW.after(MAX_AGE / 2);
    for proxy in 0..PROXIES {
        pool.set_keys(proxy, ring(1, &[]));
    }
    assert_eq!(pool.losses(|_| false), [PinLoss::UnknownKey; PROXIES * PROXIES]);
}

#[test]
fn a_key_of_the_same_id_and_another_secret_is_another_key() {
    let mut pool = Pool::new();
    pool.arrive();
    let reused = KeyRing::builder("pool", crate::IDENTITY).sign_with(0, [0xee; 32]).build().unwrap();
    pool.set_keys(0, reused);
    assert!(pool.visits(0).iter().all(|(_, pick)| pick.decision == Decision::PinLost(PinLoss::BadTag)));
}

#[test]
fn a_rotation_never_changes_the_identity() {
    let pool = Pool::new();
    let before = pool.proxies[0].generation();
    let others = [
        KeyRing::builder("pool", [0xee; 32]).sign_with(0, crate::secret(0)).build().unwrap(),
        KeyRing::builder("other", crate::IDENTITY).sign_with(0, crate::secret(0)).build().unwrap(),
    ];
    for keys in others {
        assert!(matches!(pool.proxies[0].set_keys(keys), Err(KeyError::OtherIdentity)));
    }
    assert_eq!(pool.proxies[0].generation(), before);
}
