//! The fuzzers' corpora, replayed: the checks of `fuzz/src` on every file of `fuzz/corpus`. The controls show
//! that each check can fail with its corpus: a wrong oracle, or a policy under another's name.
//!
//! The corpus `http1` is replayed beside what it checks, in `src/proxy/fuzzing/mod.rs`.

#[path = "../../../fuzz/src/lib.rs"]
mod checks;

use checks::{client, config, cookie, policies, token};
use homing::cluster::{Cluster, Session};
use homing::policy::{Factory, Params, Policy, find, registry};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The files of a corpus, each with its name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format!("{}/fuzz/corpus/{target}", concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = paths.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect();
    assert!(files.len() > 20, "the corpus of {target} is there");
    files
}

fn replay(target: &str, check: impl Fn(&[u8])) {
    for (path, data) in corpus(target) {
        if catch_unwind(AssertUnwindSafe(|| check(&data))).is_err() {
            panic!("{path} fails: cargo fuzz run {target} {path}");
        }
    }
}

/// The number of corpus files that make `check` panic.
fn caught(target: &str, check: impl Fn(&[u8])) -> usize {
    let fails = |data: &[u8]| catch_unwind(AssertUnwindSafe(|| check(data))).is_err();
    corpus(target).iter().filter(|(_, data)| fails(data)).count()
}

#[test]
fn tokens() {
    replay("token", token::check);
}

#[test]
fn a_reader_that_believes_every_tag_is_caught() {
    assert!(caught("token", |data| token::check_against(data, token::read_unsigned)) > 0);
}

#[test]
fn cookies() {
    replay("cookie", cookie::check);
}

#[test]
fn a_splitter_that_honours_quotes_is_caught() {
    fn quoting<'a>(header: &'a [u8], name: &str) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
        let mut inside = false;
        let ends = |byte: &u8| {
            inside ^= *byte == b'"';
            *byte == b';' && !inside
        };
        header.split(ends).flat_map(|pair| cookie::split(pair, name).into_iter().take(1)).collect()
    }
    assert!(caught("cookie", |data| cookie::check_against(data, quoting)) > 0);
}

#[test]
fn clients() {
    replay("client", client::check);
}

#[test]
fn a_range_that_ends_a_bit_early_is_caught() {
    let shorter = |address, range: &str| match range.split_once('/') {
        Some((network, prefix)) if prefix != "0" => {
            client::within(address, &format!("{network}/{}", prefix.parse::<u32>().unwrap() - 1))
        }
        _ => client::within(address, range),
    };
    assert!(caught("client", |data| client::check_against(data, shorter)) > 0);
}

#[test]
fn configurations() {
    replay("config", config::check);
}

#[test]
fn errors_that_are_placed_too_low_are_caught() {
    assert!(caught("config", |data| config::check_shifted(data, "\n\n\n\n")) > 0);
}

#[test]
fn every_policy() {
    replay("policies", policies::check);
}

/// Always the first upstream, whether it accepts or not.
#[derive(Debug)]
struct First;

impl Policy for First {
    fn place(&self, _: &Cluster, _: &Session<'_>) -> Option<usize> {
        Some(0)
    }
}

/// Places at random, but claims to place by key.
#[derive(Debug)]
struct Liar(Box<dyn Policy>);

impl Policy for Liar {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.0.place(cluster, session)
    }

    fn is_keyed(&self) -> bool {
        true
    }
}

#[test]
fn impostors_are_caught() {
    let named = |name: &str| find(name).unwrap().configure(Params::new()).unwrap();
    let first: Factory = Arc::new(|_| Box::new(First));
    let liar: Factory = {
        let random = named("random");
        Arc::new(move |cluster| Box::new(Liar(random(cluster))))
    };
    for entry in registry() {
        assert!(impostor_is_caught(entry.name, &first), "the first as {}", entry.name);
    }
    for (name, impostor, breaks) in [
        ("round_robin", named("random"), "turns"),
        ("least_conn", named("round_robin"), "the least loaded"),
        ("ip_hash", named("random"), "nginx's hash"),
        ("hash", liar, "equal keys, equal places"),
        ("ketama", named("hash"), "a removal moves its own"),
    ] {
        assert!(impostor_is_caught(name, &impostor), "{name}: {breaks}");
    }
}

fn impostor_is_caught(name: &'static str, impostor: &Factory) -> bool {
    caught("policies", |data| policies::check_impostor(data, name, impostor)) > 0
}
