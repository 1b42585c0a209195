//! The configuration file: its checks, and the places of its errors.

use std::fs;
use std::process::Output;

use tempfile::TempDir;

use crate::support::client::get;
use crate::support::gateway::{Gateway, run};
use crate::support::upstream::Upstream;

const FILE: &str = "gateway.toml";

/// All keys, as in the documentation.
const FULL: &str = r#"listen = ["127.0.0.1:0"]
workers = 0
trusted_proxies = ["127.0.0.1/32"]

[affinity]
cookie = "homing"
max_age = "12h"
idle = "30m"
secure = "auto"
on_unavailable = "repin"
on_full = "wait"
on_restart = "replace"
lost_header = "homing-lost"
keys = "homing.keys"

[policy]
name = "least_conn"

[health]
enabled = true
path = "/healthz"
profile = "standard"
interval = "2s"
timeout = "1s"
fall = 2
rise = 2
silence = "5s"
incarnation_header = "homing-incarnation"
incarnation_json = "/pid"

[outlier]
consecutive = 5
failure_rate = 0.5
window = "10s"
min_requests = 20
base = "10s"
max = "5m"
max_ejected = 0.5

[slow_start]
window = "10s"
min = 0.1
aggression = 1.0

[drain]
spread = "30s"

[failover]
rate = 500
hold = "0s"

[rebalance]
budget = 0

[queue]
size = 1024
timeout = "5s"

[retry]
ratio = 0.2
min_per_second = 10

[admin]
listen = "127.0.0.1:0"

[timeouts]
header = "10s"
connect = "2s"
response = "60s"
idle = "90s"

[[upstream]]
name = "app-1"
address = "127.0.0.1:9001"
weight = 1
max_in_flight = 0

[[upstream]]
name = "app-2"
address = "127.0.0.1:9002"
"#;

fn run_with(config: &str, arguments: &[&str]) -> (Output, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join(FILE), config).expect("write the configuration");
    (run(directory.path(), arguments), directory)
}

fn check(config: &str) -> Output {
    run_with(config, &["check", "--config", FILE]).0
}

/// Line and column, from 1, at which `needle` begins in the file.
fn place(config: &str, needle: &str) -> String {
    let before = &config[..config.find(needle).unwrap_or_else(|| panic!("{needle} in {config}"))];
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{FILE}:{}:{column}", before.matches('\n').count() + 1)
}

/// `config` is refused, and the message has all of `words`.
fn refused(config: &str, words: &[&str]) {
    let output = check(config);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "accepted: {config}");
    assert!(output.status.code().is_some(), "it was killed: {message}");
    assert!(!message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message:?} of {config}");
    }
}

#[test]
fn the_whole_example_is_accepted() {
    let output = check(FULL);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_least_example_is_accepted() {
    let output = check("listen = [\"127.0.0.1:0\"]\n[[upstream]]\nname = \"app-1\"\naddress = \"127.0.0.1:9001\"\n");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_check_leaves_nothing_behind() {
    let (output, directory) = run_with(FULL, &["check", "--config", FILE]);
    assert!(output.status.success());
    let files: Vec<_> =
        fs::read_dir(directory.path()).expect("list").map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(files, [FILE]);
}

#[test]
fn unknown_keys_are_told_with_line_and_column() {
    for (known, unknown) in [
        ("workers = 0", "wrokers = 0"),
        ("max_age = \"12h\"", "max_aeg = \"12h\""),
        ("name = \"least_conn\"", "named = \"least_conn\""),
        ("connect = \"2s\"", "conect = \"2s\""),
        ("weight = 1", "wieght = 1"),
        ("path = \"/healthz\"", "paht = \"/healthz\""),
        ("max_ejected = 0.5", "max_ejectde = 0.5"),
        ("aggression = 1.0", "agression = 1.0"),
        ("spread = \"30s\"", "deadline = \"30s\""),
        ("hold = \"0s\"", "holds = \"0s\""),
        ("budget = 0", "bugdet = 0"),
        ("size = 1024", "length = 1024"),
        ("min_per_second = 10", "per_second = 10"),
        ("lost_header = \"homing-lost\"", "lost = \"homing-lost\""),
        ("[timeouts]", "[timeout]"),
        ("[outlier]", "[outliers]"),
    ] {
        let config = FULL.replace(known, unknown);
        let key = unknown.split(' ').next().expect("a key").trim_matches(['[', ']']);
        refused(&config, &[&place(&config, unknown.trim_start_matches('[')), key]);
    }
}

#[test]
fn values_of_a_wrong_kind_are_told_with_line_and_column() {
    for (right, wrong) in [
        ("workers = 0", "workers = \"many\""),
        ("workers = 0", "workers = -1"),
        ("trusted_proxies = [\"127.0.0.1/32\"]", "trusted_proxies = [\"127.0.0.1/33\"]"),
        ("trusted_proxies = [\"127.0.0.1/32\"]", "trusted_proxies = [\"somewhere\"]"),
        ("listen = [\"127.0.0.1:0\"]", "listen = [\"nowhere\"]"),
        ("max_age = \"12h\"", "max_age = \"12 parsecs\""),
        ("max_age = \"12h\"", "max_age = 12"),
        ("secure = \"auto\"", "secure = \"maybe\""),
        ("on_unavailable = \"repin\"", "on_unavailable = \"panic\""),
        ("connect = \"2s\"", "connect = \"-2s\""),
        ("path = \"/healthz\"", "path = \"healthz\""),
        ("profile = \"standard\"", "profile = \"iis\""),
        ("fall = 2", "fall = 0"),
        ("silence = \"5s\"", "silence = 5"),
        ("incarnation_json = \"/pid\"", "incarnation_json = \"pid\""),
        ("failure_rate = 0.5", "failure_rate = 0.0"),
        ("max = \"5m\"", "max = \"5s\""),
        ("min = 0.1", "min = 1.1"),
        ("spread = \"30s\"", "spread = \"soon\""),
        ("rate = 500", "rate = -1"),
        ("budget = 0", "budget = 0.5"),
        ("timeout = \"5s\"", "timeout = \"0s\""),
        ("ratio = 0.2", "ratio = 20"),
        ("on_full = \"wait\"", "on_full = \"queue\""),
        ("on_restart = \"replace\"", "on_restart = \"repin\""),
        ("lost_header = \"homing-lost\"", "lost_header = \"homing lost\""),
        ("weight = 1", "weight = 65536"),
        ("weight = 1", "weight = 1.5"),
        ("address = \"127.0.0.1:9001\"", "address = \"127.0.0.1\""),
        ("address = \"127.0.0.1:9001\"", "address = \"127.0.0.1:99999\""),
        ("max_in_flight = 0", "max_in_flight = -1"),
    ] {
        let config = FULL.replace(right, wrong);
        let (key, value) = wrong.split_once(" = ").expect("a key");
        let line = place(&config, wrong).rsplit_once(':').map(|place| place.0.to_owned()).expect("a line");
        refused(&config, &[&format!("{line}:")]);
        // The message names the key or shows the value: either leads to the fault.
        let message = String::from_utf8_lossy(&check(&config).stderr).into_owned();
        assert!(message.contains(key) || message.contains(value.trim_matches(['[', ']', '"'])), "{message}");
    }
}

#[test]
fn syntax_errors_are_told_with_line_and_column() {
    let config = FULL.replace("[policy]", "[policy");
    let line = place(&config, "[policy").rsplit_once(':').map(|place| place.0.to_owned()).expect("a line");
    refused(&config, &[&format!("{line}:")]);
}

#[test]
fn what_cannot_work_is_told() {
    refused(&FULL.replace("\"least_conn\"", "\"most_conn\""), &[FILE, "most_conn"]);
    refused(&FULL.replace("weight = 1", "weight = 0"), &[FILE, "weight"]);
    refused(&FULL.replace("\"app-2\"", "\"app-1\""), &[FILE, "app-1"]);
    refused(&FULL.replace("\"app-2\"", "\"\""), &[FILE, "name"]);
    refused(&FULL.replace("cookie = \"homing\"", "cookie = \"ho ming\""), &[FILE, "cookie"]);
    refused(&FULL.replace("cookie = \"homing\"", "cookie = \"\""), &[FILE, "cookie"]);
    let unsafe_host =
        FULL.replace("cookie = \"homing\"", "cookie = \"__Host-homing\"").replace("\"auto\"", "\"never\"");
    refused(&unsafe_host, &[FILE, "__Host-"]);
    refused("listen = [\"127.0.0.1:0\"]\n", &[FILE, "upstream"]);
    refused("listen = []\n[[upstream]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n", &[FILE, "listen"]);
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(directory.path(), &["check", "--config", "missing.toml"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing.toml"), "{output:?}");
}

#[test]
fn a_faulty_file_starts_nothing() {
    let config = FULL.replace("workers", "wrokers");
    let (output, _directory) = run_with(&config, &["run", "--config", FILE]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&place(&config, "wrokers")), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("listening on"));
}

#[test]
fn a_port_in_use_is_told() {
    let upstream = Upstream::named("app-1");
    let config = FULL.replace("127.0.0.1:0", &upstream.address.to_string());
    let (output, _directory) = run_with(&config, &["run", "--config", FILE]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&upstream.address.to_string()), "{output:?}");
}

#[test]
fn every_listener_serves() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::with(&format!("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n{}", upstream.entry("")));
    assert_eq!(gateway.listeners().len(), 2);
    for (scheme, address) in gateway.listeners() {
        assert_eq!((scheme.as_str(), get(*address, "/").text().as_str()), ("http", "app-1"));
    }
    assert_ne!(gateway.listeners()[0].1, gateway.listeners()[1].1);
}

#[test]
fn each_request_is_one_line_of_the_log_with_its_decision() {
    let upstream = Upstream::named("app-1");
    let mut gateway = Gateway::start("", &[&upstream]);
    get(gateway.address(), "/some/page");
    gateway.terminate();
    gateway.wait();
    let log = gateway.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("/some/page")).collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    for word in ["GET", "200", "app-1", "new"] {
        assert!(line.to_lowercase().contains(&word.to_lowercase()), "no {word} in {line}");
    }
}
