//! `hash-type consistent` of a running HAProxy, for `balance hdr` and `balance source`.

use crate::support::test;
use std::fmt::Write;
use std::path::Path;

use homing::policy::Params;

use super::case::{Case, Tally};
use super::servers::Servers;
use crate::support::dice::Dice;
use crate::support::program::{Program, find};

const CASES: usize = 16;
const PICKS: usize = 100;
const BALANCES: [(&str, &str); 2] = [("hdr(x-key)", "hdr"), ("source", "source")];

fn config(socket: &Path, cases: &[Case]) -> String {
    let mut text = format!(
        "global
  maxconn 256
  nbthread 1
defaults
  mode http
  timeout connect 30s
  timeout client 60s
  timeout server 30s
frontend front
  bind unix@{}
  http-request set-src hdr(x-client)\n",
        socket.display()
    );
    let names = || (0..cases.len()).flat_map(|i| BALANCES.map(|(balance, name)| (i, balance, name)));
    for (i, _, name) in names() {
        writeln!(text, "  use_backend b{i}{name} if {{ path /{i}/{name} }}").unwrap();
    }
    for (i, balance, name) in names() {
        writeln!(text, "backend b{i}{name}\n  balance {balance}\n  hash-type consistent").unwrap();
        for (number, server) in cases[i].servers.iter().enumerate() {
            let disabled = if server.up { "" } else { " disabled" };
            let address = match (server.address.strip_prefix("unix:"), server.address.rsplit_once(':')) {
                (Some(path), _) => format!("unix@{path}"),
                // What nginx takes to be port 80.
                (None, None) => format!("{}:80", server.address),
                (None, Some((_, port))) if port.ends_with(']') => format!("{}:80", server.address),
                (None, Some(_)) => server.address.clone(),
            };
            writeln!(text, "  server s{number} {address} weight {}{disabled}", server.weight).unwrap();
        }
    }
    text
}

struct Oracle {
    dice: Dice,
    cases: Vec<Case>,
    haproxy: Program,
    _servers: Servers,
}

impl Oracle {
    fn start(test: &str) -> Option<Self> {
        let program = find("haproxy")?;
        let dice = Dice::new(test);
        let servers = Servers::start(&dice);
        let case = |n: usize| {
            let mut case = Case::random(n, &dice, &servers.addresses, &servers.closed);
            // Up to HAProxy's largest weight, in some.
            let most = [1, 9, 256][n / 4 % 3];
            case.servers.iter_mut().for_each(|server| server.weight = 1 + dice.below(most) as u16);
            case
        };
        let cases: Vec<Case> = (0..CASES).map(case).collect();
        let haproxy = Program::start(&program, &["-db", "-f", "config"], |socket| config(socket, &cases));
        Some(Self { dice, cases, haproxy, _servers: servers })
    }

    /// What the questions come to, where ours are asked in a distorted case or by another key.
    fn compare(&self, distort: impl Fn(&mut Case), suffix: &[u8]) -> [Tally; BALANCES.len()] {
        let mut asker = self.haproxy.connect();
        let mut tallies = <[Tally; BALANCES.len()]>::default();
        for (i, case) in self.cases.iter().enumerate() {
            for (tally, (_, name)) in tallies.iter_mut().zip(BALANCES) {
                let mut ours_of = case.clone();
                distort(&mut ours_of);
                let ours = ours_of.ours("chash", Params::new().with("balance", name));
                for _ in 0..PICKS {
                    let (client, key) = (self.dice.client(), self.dice.key());
                    let our_key = [&*key, suffix].concat();
                    let question = format!("{name} {client} {key:x?} of {case:?}");
                    let theirs = asker.ask(&format!("/{i}/{name}"), Some(client), Some(&key));
                    tally.compare(&question, || ours.ask(Some(client), Some(&our_key)), || theirs.clone());
                }
            }
        }
        tallies
    }
}

#[test]
fn every_pick_is_haproxy_s() {
    let Some(oracle) = Oracle::start("haproxy") else { return };
    for ((balance, _), tally) in BALANCES.iter().zip(oracle.compare(|_| {}, b"")) {
        println!("chash is balance {balance}: {} same", tally.same);
        assert!(tally.different.is_empty(), "{} differ, {:#?}", tally.different.len(), tally.different.first());
        assert_eq!((tally.same, tally.turns), (CASES * PICKS, 0));
    }
}

#[test]
fn another_key_sequence_or_weight_is_noticed() {
    let Some(oracle) = Oracle::start("haproxy, distorted") else { return };
    let [hdr, source] = oracle.compare(|_| {}, b"x");
    assert!(hdr.different.len() > 20 && source.different.is_empty(), "{hdr:?}");
    let orders = oracle.compare(|case| case.servers.reverse(), b"");
    assert!(orders.iter().all(|tally| tally.different.len() > 20), "{orders:?}");
    let weights = oracle.compare(|case| case.servers[0].weight = 257 - case.servers[0].weight, b"");
    assert!(weights.iter().all(|tally| !tally.different.is_empty()), "{weights:?}");
}
