//! `ip_hash`, `hash`, `hash … consistent` and round robin of a running nginx.

use crate::support::test;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use homing::policy::Params;

use super::case::{Case, Tally};
use super::servers::Servers;
use crate::support::dice::Dice;
use crate::support::program::{Asker, NGINX_ARGUMENTS, Program, find, nginx_config};

const CASES: usize = 12;
const PICKS: usize = 100;

/// What an upstream block says, our policy's name, and what is hashed.
const KINDS: [(&str, &str, Hashed); 6] = [
    ("ip_hash;", "ip_hash", Hashed::Client),
    ("hash $http_x_key;", "hash", Hashed::Key),
    ("hash $http_x_key consistent;", "ketama", Hashed::Key),
    ("hash $remote_addr;", "hash", Hashed::Client),
    ("hash $remote_addr consistent;", "ketama", Hashed::Client),
    ("", "round_robin", Hashed::Nothing),
];

#[derive(Clone, Copy, PartialEq)]
enum Hashed {
    Client,
    Key,
    Nothing,
}

fn config(socket: &Path, cases: &[Case]) -> String {
    let mut text = "proxy_next_upstream off; real_ip_header X-Client; set_real_ip_from unix:;
        keepalive_requests 1000000;\n"
        .to_owned();
    let mut locations = String::new();
    for (i, case) in cases.iter().enumerate() {
        for (kind, (method, ..)) in KINDS.iter().enumerate() {
            writeln!(text, "upstream u{i}k{kind} {{ {method}").unwrap();
            for server in &case.servers {
                let down = if server.up { "" } else { " down" };
                writeln!(text, "server {} weight={} max_fails=0{down};", server.address, server.weight).unwrap();
            }
            writeln!(text, "}}").unwrap();
            writeln!(locations, "location = /{i}/{kind} {{ proxy_pass http://u{i}k{kind}; }}").unwrap();
        }
    }
    write!(text, "server {{ listen unix:{}; {locations} }}", socket.display()).unwrap();
    nginx_config(256, &text)
}

struct Oracle {
    dice: Dice,
    cases: Vec<Case>,
    nginx: Program,
    _servers: Servers,
}

impl Oracle {
    fn start(test: &str) -> Option<Self> {
        let program = find("nginx")?;
        let dice = Dice::new(test);
        let servers = Servers::start(&dice);
        let cases: Vec<Case> =
            (0..CASES).map(|n| Case::random(n, &dice, &servers.addresses, &servers.closed)).collect();
        let nginx = Program::start(&program, &NGINX_ARGUMENTS, |socket| config(socket, &cases));
        Some(Self { dice, cases, nginx, _servers: servers })
    }

    /// What a case's questions come to, each with a client and a key, where ours are asked by `distort`ed ones.
    fn compare(&self, distort: impl Fn(&mut Case, &mut Option<IpAddr>, &mut Vec<u8>)) -> [Tally; KINDS.len()] {
        let mut asker = self.nginx.connect();
        let mut tallies = <[Tally; KINDS.len()]>::default();
        for (i, case) in self.cases.iter().enumerate() {
            for (kind, (tally, (method, policy, hashed))) in tallies.iter_mut().zip(KINDS).enumerate() {
                // nginx's turns skip what is down for good, ours give its turns to others.
                if hashed == Hashed::Nothing && !case.all_up() {
                    continue;
                }
                let mut ours_of = case.clone();
                distort(&mut ours_of, &mut None, &mut Vec::new());
                let ours = ours_of.ours(policy, Params::new());
                let path = format!("/{i}/{kind}");
                for _ in 0..PICKS {
                    let (client, key) = (self.dice.client(), self.dice.key());
                    let (mut our_client, mut our_key) = (Some(client), key.clone());
                    distort(&mut case.clone(), &mut our_client, &mut our_key);
                    let our_key = (hashed == Hashed::Key).then_some(&*our_key);
                    let question = format!("{method} {client} {key:x?} of {case:?}");
                    let theirs = |asker: &mut Asker<'_>| asker.ask(&path, Some(client), Some(&key));
                    tally.compare(&question, || ours.ask(our_client, our_key), || theirs(&mut asker));
                }
            }
        }
        tallies
    }
}

#[test]
fn every_pick_is_nginx_s() {
    let Some(oracle) = Oracle::start("nginx") else { return };
    let tallies = oracle.compare(|_, _, _| {});
    for ((method, policy, _), tally) in KINDS.iter().zip(&tallies) {
        println!("{policy} is {method:?}: {} same, {} by turns", tally.same, tally.turns);
        assert!(tally.different.is_empty(), "{} differ, {:#?}", tally.different.len(), tally.different.first());
        // A hash that finds nothing is rare, but where one server alone is up it finds what both find.
        assert!(tally.turns * 20 <= tally.same, "{tally:?}");
    }
    assert!(tallies.iter().map(|tally| tally.same).sum::<usize>() > 5000);
}

#[test]
fn what_nginx_does_without_a_client_or_a_key_is_done() {
    let Some(oracle) = Oracle::start("nginx without a client or a key") else { return };
    let mut asker = oracle.nginx.connect();
    for (i, case) in oracle.cases.iter().enumerate() {
        let ours = case.ours("ip_hash", Params::new());
        assert_eq!(ours.ask(None, None), asker.ask(&format!("/{i}/0"), None, None), "{case:?}");
        // An empty key means round robin, in the same order as nginx's when all upstreams are up.
        for (kind, policy) in [(1, "hash"), (2, "ketama")] {
            let ours = case.ours(policy, Params::new());
            for _ in 0..if case.all_up() { 100 } else { 0 } {
                assert_eq!(ours.ask(None, Some(b"")), asker.ask(&format!("/{i}/{kind}"), None, None), "{case:?}");
            }
        }
    }
}

#[test]
fn another_key_client_or_weight_is_noticed() {
    let Some(oracle) = Oracle::start("nginx, distorted") else { return };
    let other_questions = oracle.compare(|_, client, key| {
        *client = client.map(|client| match client {
            IpAddr::V4(v4) => std::net::Ipv4Addr::from_bits(v4.to_bits() ^ 0x100).into(),
            IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits() ^ 1).into(),
        });
        key.push(b'x');
    });
    // Round robin asks nothing.
    assert!(other_questions[..5].iter().all(|tally| tally.different.len() > 20), "{other_questions:?}");
    // Far from the other weight: among large weights one more moves hardly a key.
    let other_weights = oracle.compare(|case, _, _| case.servers[0].weight = 1 + 3 * case.servers[0].weight);
    assert!(other_weights[..5].iter().all(|tally| tally.different.len() > 5), "{other_weights:?}");
}
