//! A random cluster, and Homing's picks in it.

use std::net::IpAddr;

use homing::policy::Params;
use homing::{Availability, Balancer, Request, Timestamp, UpstreamConfig};

use crate::support::dice::Dice;

/// How often a request is repeated to tell turns from a hash: more than all turns of a case.
const REPEATS: usize = 120;

#[derive(Clone, Debug)]
pub struct Server {
    pub address: String,
    pub weight: u16,
    pub up: bool,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub servers: Vec<Server>,
}

impl Case {
    /// The n-th of its kind: some of the addresses, at least one up. Addresses without a listener are down.
    pub fn random(n: usize, dice: &Dice, addresses: &[String], closed: &[String]) -> Self {
        let mut addresses: Vec<(&String, bool)> = addresses.iter().map(|address| (address, true)).collect();
        dice.shuffle(&mut addresses);
        let heaviest = [1, 4, 9][dice.below(3)];
        // All up, some down, or of many one or two alone up, so that tries run out.
        let down = n % 4;
        addresses.truncate(if down < 2 { 1 + dice.below(11) } else { 12 });
        for (i, (_, up)) in addresses.iter_mut().enumerate() {
            *up = match down {
                0 => true,
                1 => i % 3 != 1,
                alone => i < alone - 1,
            };
        }
        if down > 0 {
            addresses.extend(closed.iter().take(dice.below(3)).map(|address| (address, false)));
        }
        dice.shuffle(&mut addresses);
        let server = |(address, up): (&String, bool)| Server {
            address: address.clone(),
            weight: 1 + dice.below(heaviest) as u16,
            up,
        };
        Self { servers: addresses.into_iter().map(server).collect() }
    }

    pub fn all_up(&self) -> bool {
        self.servers.iter().all(|server| server.up)
    }

    pub fn ours(&self, policy: &str, params: Params) -> Ours {
        let upstream = |(i, server): (usize, &Server)| {
            UpstreamConfig::new(format!("app-{i}"), &server.address).weight(server.weight)
        };
        let upstreams = self.servers.iter().enumerate().map(upstream);
        let balancer = Balancer::builder().upstreams(upstreams).policy_params(policy, params).build().unwrap();
        for (member, server) in balancer.cluster().members().iter().zip(&self.servers) {
            member.upstream().set_availability(if server.up { Availability::ACTIVE } else { Availability::DOWN });
        }
        Ours(balancer)
    }
}

pub struct Ours(Balancer);

impl Ours {
    /// The address of the upstream that this request goes to.
    pub fn ask(&self, client: Option<IpAddr>, key: Option<&[u8]>) -> String {
        let mut request = Request::new(Timestamp::from_secs(1_700_000_000));
        (request.client, request.key) = (client, key);
        self.0.pick(&request).unwrap().upstream().address().to_owned()
    }
}

/// Whether repeating a request changes its upstream, so that it was placed in turn and not by a hash.
pub fn takes_turns(mut ask: impl FnMut() -> String) -> bool {
    let first = ask();
    (0..REPEATS).any(|_| ask() != first)
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Tally {
    pub same: usize,
    /// Neither hash found a server that is up within its tries, and both took turns.
    pub turns: usize,
    pub different: Vec<String>,
}

impl Tally {
    pub fn compare(&mut self, question: &str, mut ours: impl FnMut() -> String, mut theirs: impl FnMut() -> String) {
        let (our, their) = (ours(), theirs());
        if our == their {
            self.same += 1;
        } else if takes_turns(&mut ours) && takes_turns(&mut theirs) {
            self.turns += 1;
        } else {
            self.different.push(format!("{question}: {our}, not {their}"));
        }
    }
}
