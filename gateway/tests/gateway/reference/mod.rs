//! `docs/CONFIGURATION.md` is held against the program, both ways: every key that the configuration's types read has a
//! row with its type and default, every row is such a key, and `homing check` accepts every example.
//!
//! In reading order: `keys` (what the types read), `page` (what the page says), `rows` (one against the other),
//! `parameters` (of policies, which have no types), and here the tests with their negative controls.

mod keys;
mod page;
mod parameters;
mod rows;

use crate::support::gateway::run;
use homing_gateway::config::{GatewayConfig, MAX_UPSTREAMS};
use keys::{Key, keys};
use page::Page;
use std::fs;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md"));

/// The keys of `[policy]`, a table that also takes the parameters of policies.
const POLICY: [&str; 2] = ["policy.name", "policy.key"];

const UPSTREAM: &str = "\n[[upstream]]\nname = \"app-1\"\naddress = \"127.0.0.1:9001\"\n";

fn program() -> Vec<Key> {
    keys::<GatewayConfig>(&POLICY)
}

/// Keys that only one side has.
fn differences(page: &str, program: &[Key]) -> Vec<String> {
    let page = Page::read(page);
    [rows::differences(&page, program), parameters::differences(&page)].concat()
}

/// Keys whose description is wrong.
fn wrong(page: &str, program: &[Key]) -> Vec<String> {
    let page = Page::read(page);
    [rows::wrong(&page, program), parameters::wrong(&page)].concat()
}

#[test]
fn the_page_has_the_keys_of_the_program() {
    let program = program();
    assert!(program.len() > 100, "{program:#?}");
    let faults = [differences(PAGE, &program), wrong(PAGE, &program)].concat();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(PAGE.contains(&format!("1 to {MAX_UPSTREAMS} of them")));
}

#[test]
fn a_key_that_is_missing_on_either_side_is_found() {
    let program = program();
    for row in PAGE.lines().filter(|line| line.starts_with("| `") && line.split(" | ").count() > 3) {
        let without = PAGE.replacen(&format!("{row}\n"), "", 1);
        assert_eq!(differences(&without, &program).len(), 1, "without {row}");
    }
    for section in PAGE.lines().filter(|line| line.starts_with("##") && line.contains("`[")) {
        let without = PAGE.replacen(section, "## `[other]`", 1);
        assert!(differences(&without, &program).len() > 1, "without {section}");
    }
    for index in 0..program.len() {
        let mut less = program.clone();
        let Key { path, .. } = less.remove(index);
        assert_eq!(differences(PAGE, &less), [format!("{path}: the program has no such key")]);
    }
}

#[test]
fn a_wrong_type_range_or_default_is_found() {
    let program = program();
    for (right, wrong) in [
        ("`workers` | integer, 0 to 1024", "`workers` | integer, 0 to 1023"),
        ("`enabled` | boolean | `true`", "`enabled` | boolean | `false`"),
        ("`enabled` | boolean", "`enabled` | text"),
        ("`\"lax\"`, `\"none\"`", "`\"lax\"`"),
        ("`\"repin\"`, `\"reject\"`", "`\"repin\"`, `\"reject\"`, `\"wait\"`"),
        ("duration from 1s | `\"12h\"`", "duration from 1s | `\"13h\"`"),
        ("duration from 1s | `\"12h\"`", "duration | `\"12h\"`"),
        ("duration from 1s | none", "duration from 1s | `\"30m\"`"),
        ("`\"homing-incarnation\"` |", "none |"),
        ("| `certificate` | file | required |", "| `certificate` | file | none |"),
        ("| `address` | `host:port` | required |", "| `address` | `host:port` | `\"127.0.0.1:80\"` |"),
        ("| `weight` | integer, 1 to 65535 | `1` |", "| `weight` | integer, 1 to 65535 | required |"),
        ("| `ceiling` | duration | `\"5m\"` |", "| `ceiling` | duration | `\"4m\"` |"),
        ("`128` |", "`64` |"),
        ("`\"balanced\"` |", "`\"strict\"` |"),
        ("a prefix length, 1 to 32", "a prefix length, 0 to 32"),
        ("or a power of two from 4096 to 1048576 | `0` |", "or a power of two from 4096 to 1048576 | `65536` |"),
        ("incarnation_json = \"/process/id\"\n", ""),
    ] {
        assert!(PAGE.contains(right), "the page has no {right}");
        assert_eq!(self::wrong(&PAGE.replacen(right, wrong, 1), &program).len(), 1, "{wrong} is taken for right");
    }
}

/// `homing check` of an example, beside the files that it names.
fn checked(example: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let files = [
        ("server.pem", certified.cert.pem()),
        ("server.key", certified.signing_key.serialize_pem()),
        ("admin.token", "0123456789abcdef0123456789abcdef".to_owned()),
        ("homing.toml", example.to_owned()),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("write a file");
    }
    let output = run(folder.path(), &["check", "--config", "homing.toml"]);
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_example_is_accepted() {
    let examples = Page::read(PAGE).examples;
    assert!(examples.len() > 20);
    for example in examples {
        let needs_upstream = !example.contains("[[upstream]]") && !example.contains("[discovery");
        let whole = if needs_upstream { example + UPSTREAM } else { example };
        assert_eq!(checked(&whole), Ok(()), "{whole}");
        let (key, _) = whole.rsplit_once(" = ").expect("a key");
        let key = key.rsplit('\n').next().expect("a line");
        let misspelt = whole.replace(&format!("\n{key} = "), &format!("\n{key}s = "));
        assert!(checked(&misspelt).is_err(), "{misspelt}");
    }
}
