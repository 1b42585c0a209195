//! The key file: private, persistent, and all that gateways need to share.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use crate::support::client::{exchange, get, request};
use crate::support::gateway::{Gateway, config};
use crate::support::upstream::Upstream;
use crate::support::visitor::{COOKIE, token};

fn keyed(keys: &Path, upstreams: &[Upstream]) -> Gateway {
    let settings = format!("[affinity]\nkeys = \"{}\"", keys.to_str().expect("a path in UTF-8"));
    Gateway::with(&config(&settings, &upstreams.iter().collect::<Vec<_>>()))
}

/// Whether `second` accepts the token of a visitor of `first`.
fn believes(first: &Gateway, second: &Gateway) -> bool {
    let visit = get(first.address(), "/");
    let cookie = format!("Cookie: {COOKIE}={}\r\n", token(&visit.head).expect("a cookie"));
    let again = exchange(second.address(), request("GET", "/", &cookie));
    token(&again.head).is_none() && again.text() == visit.text()
}

#[test]
fn a_missing_file_is_created_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("some.keys");
    let _gateway = keyed(&file, &Upstream::several(1));
    let created = fs::metadata(&file).expect("the file");
    assert_eq!(created.permissions().mode() & 0o7777, 0o600);
    assert!(created.len() >= 32);
}

#[test]
fn a_restart_keeps_the_visitors() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("some.keys");
    let upstreams = Upstream::several(5);
    let visit = {
        let gateway = keyed(&file, &upstreams);
        get(gateway.address(), "/")
    };
    let keys = fs::read(&file).expect("the keys");
    let gateway = keyed(&file, &upstreams);
    let cookie = format!("Cookie: {COOKIE}={}\r\n", token(&visit.head).expect("a cookie"));
    let again = exchange(gateway.address(), request("GET", "/", &cookie));
    assert_eq!((token(&again.head), again.text()), (None, visit.text()));
    assert_eq!(fs::read(&file).expect("the keys"), keys);
}

#[test]
fn gateways_that_share_keys_believe_each_other() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (ours, theirs) = (directory.path().join("our.keys"), directory.path().join("their.keys"));
    let upstreams = Upstream::several(5);
    let first = keyed(&ours, &upstreams);
    fs::copy(&ours, &theirs).expect("copy the keys");
    let second = keyed(&theirs, &upstreams);
    for _ in 0..10 {
        assert!(believes(&first, &second) && believes(&second, &first));
    }
}

#[test]
fn gateways_that_create_the_same_file_at_once_agree() {
    let upstreams = Upstream::several(2);
    for _ in 0..5 {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("some.keys");
        let (first, second) = thread::scope(|scope| {
            let start = || scope.spawn(|| keyed(&file, &upstreams));
            let (first, second) = (start(), start());
            (first.join().expect("a gateway"), second.join().expect("a gateway"))
        });
        assert!(believes(&first, &second) && believes(&second, &first));
    }
}

#[test]
fn gateways_with_keys_of_their_own_do_not() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let upstreams = Upstream::several(5);
    let first = keyed(&directory.path().join("one.keys"), &upstreams);
    let second = keyed(&directory.path().join("other.keys"), &upstreams);
    assert!(!believes(&first, &second) && !believes(&second, &first));
}

#[test]
fn the_order_of_upstreams_is_nothing_to_a_cookie() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("some.keys");
    let mut upstreams = Upstream::several(5);
    let first = keyed(&file, &upstreams);
    upstreams.reverse();
    let second = keyed(&file, &upstreams);
    for _ in 0..10 {
        assert!(believes(&first, &second));
    }
}

#[test]
fn keys_that_are_none_are_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("some.keys");
    for content in ["", "too short", "\0\u{1}\u{2}"] {
        fs::write(&file, content).expect("write");
        let settings = "[affinity]\nkeys = \"some.keys\"";
        fs::write(directory.path().join("gateway.toml"), config(settings, &[&Upstream::named("app-1")]))
            .expect("write");
        let output = crate::support::gateway::run(directory.path(), &["run", "--config", "gateway.toml"]);
        assert!(!output.status.success(), "{content:?} was accepted");
        assert!(String::from_utf8_lossy(&output.stderr).contains("some.keys"), "{output:?}");
        assert_eq!(fs::read(&file).expect("the file"), content.as_bytes());
    }
}
