//! C# and Rust agree: 10,000 picks of a thousand visitors with one seed and one key file have the same decisions and
//! tokens, and each verifies the tokens of the other.

use super::runtime::{Compiled, runtimes};
use crate::support::test;
use homing::affinity::{Affinity, TOKEN_LEN};
use homing::config::keyfile::KeyFile;
use homing::rng::SeededEntropy;
use homing::{Balancer, KeyRing, Request, Timestamp, UpstreamConfig};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

const PICKS: u64 = 10_000;
const VISITORS: u64 = 1000;
const UPSTREAMS: u64 = 7;
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The same as `Sessions.Config` of the test program.
fn balancer(keys: KeyRing, seed: u64) -> Balancer {
    let upstreams = (0..UPSTREAMS).map(|i| {
        let config = UpstreamConfig::new(format!("app-{i}"), format!("10.0.0.{i}:8080"));
        config.weight((i % 3 + 1) as u16)
    });
    let affinity =
        Affinity::builder(keys).max_age(Duration::from_secs(20 * 60)).idle(Some(Duration::from_secs(4 * 60)));
    let builder = Balancer::builder().upstreams(upstreams).policy("p2c").affinity(affinity.build().unwrap());
    builder.entropy(SeededEntropy::new(seed)).build().unwrap()
}

fn index(balancer: &Balancer, name: &str) -> usize {
    balancer.cluster().members().iter().position(|member| member.upstream().name() == name).unwrap()
}

fn moment(pick: u64) -> Timestamp {
    START.after(Duration::from_millis(pick * 300))
}

/// The same as `Sessions.Picks`: a line for each pick, with index, session id, decision, and token or "-".
fn picks(keys: KeyRing, seed: u64) -> Vec<String> {
    let balancer = balancer(keys, seed);
    let mut tokens = vec![None; VISITORS as usize];
    let pick = |i: u64| {
        // Some visitors make many requests, others few.
        let drawn = i * 7919 % VISITORS;
        let visitor = drawn * drawn / VISITORS;
        let client = IpAddr::V4(Ipv4Addr::new(10, (visitor / 250) as u8, (visitor % 250) as u8, 1));
        let carried: Option<[u8; TOKEN_LEN]> = tokens[visitor as usize];
        let carried: Vec<&[u8]> = carried.iter().map(|token| token.as_slice()).collect();
        let pick = balancer.pick(&Request::new(moment(i)).client(client).tokens(&carried).no_wait()).unwrap();
        let index = index(&balancer, pick.upstream().name());
        let due = pick.token.as_ref().map_or("-", |token| token.as_str()).to_owned();
        let line = format!("{index} {:016x} {} {due}", pick.session_id, pick.decision.as_str());
        if let Some(token) = pick.token {
            tokens[visitor as usize] = Some(token.as_bytes().try_into().unwrap());
        }
        line
    };
    (0..PICKS).map(pick).collect()
}

fn picks_in_c_sharp(compiled: &Compiled, keys: &Path, seed: u64) -> Vec<String> {
    let written = compiled.tests(&["picks", keys.to_str().unwrap(), &seed.to_string(), &PICKS.to_string()], "");
    written.lines().map(str::to_owned).collect()
}

#[test]
fn the_same_seed_gives_the_same_decisions_and_tokens() {
    for compiled in runtimes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("homing.keys");
        // C# creates the file, Rust reads it.
        let theirs = picks_in_c_sharp(compiled, &file, 42);
        let keys = KeyFile::load(&file).unwrap().ring().unwrap();
        let ours = picks(keys.clone(), 42);
        assert_eq!(ours.len(), theirs.len(), "{:?}", compiled.runtime);
        for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours, theirs, "{:?}, pick {i}", compiled.runtime);
        }
        let decided = |name: &str| ours.iter().filter(|line| line.split(' ').nth(2) == Some(name)).count();
        let counts = ["pinned", "new", "idle", "expired"].map(decided);
        println!("{:?}: {counts:?} pinned, new, idle, expired", compiled.runtime);
        assert!(counts.iter().all(|&count| count > 100), "the life has variety");
        // The control: another seed gives other results.
        assert_ne!(picks(keys, 43), theirs, "{:?}", compiled.runtime);
    }
}

/// What C# reads in `tokens`, each at the time of its pick: index, session id, decision.
fn open_in_c_sharp(compiled: &Compiled, keys: &Path, tokens: &[(u64, String)]) -> Vec<String> {
    let input: String = tokens.iter().map(|(i, token)| format!("{} {token}\n", moment(*i).as_millis())).collect();
    compiled.tests(&["open", keys.to_str().unwrap()], &input).lines().map(str::to_owned).collect()
}

/// The tokens that were issued, and what reading them has to give.
fn issued(lines: &[String]) -> Vec<((u64, String), String)> {
    let fields = lines.iter().enumerate().map(|(i, line)| (i as u64, line.split(' ').collect::<Vec<_>>()));
    let due = fields.filter(|(_, fields)| fields[3] != "-");
    due.map(|(i, fields)| ((i, fields[3].to_owned()), format!("{} {} pinned", fields[0], fields[1]))).collect()
}

#[test]
fn each_verifies_the_others_tokens() {
    for compiled in runtimes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("homing.keys");
        let keys = KeyFile::load_or_create(&file).unwrap().ring().unwrap();

        let (tokens, said): (Vec<_>, Vec<_>) = issued(&picks(keys.clone(), 7)).into_iter().unzip();
        assert!(tokens.len() > 1000, "{}", tokens.len());
        assert_eq!(open_in_c_sharp(compiled, &file, &tokens), said, "{:?} reads Rust's", compiled.runtime);

        let balancer = balancer(keys, 0);
        for ((i, token), said) in issued(&picks_in_c_sharp(compiled, &file, 8)) {
            let pick = balancer.pick(&Request::new(moment(i)).tokens(&[token.as_bytes()])).unwrap();
            let index = index(&balancer, pick.upstream().name());
            assert_eq!(
                format!("{index} {:016x} {}", pick.session_id, pick.decision.as_str()),
                said,
                "{:?}",
                compiled.runtime
            );
        }

        let other = directory.path().join("other.keys");
        for said in open_in_c_sharp(compiled, &other, &tokens[..100]) {
            assert!(said.ends_with("bad_tag"), "{said}: other keys make nothing of them");
        }
    }
}
