//! nginx and the gateway share tokens: each sends a session of the other to its upstream.

use crate::support::test;
use std::path::Path;

use super::server::{Nginx, Setup, servers};
use crate::support::client::{exchange, get, request};
use crate::support::gateway::{Gateway, config};
use crate::support::upstream::Upstream;
use crate::support::visitor::{Visitor, token};

/// With the names that the nginx module gives them.
fn upstreams() -> Vec<Upstream> {
    let mut upstreams = Upstream::several(4);
    upstreams.iter_mut().for_each(|upstream| upstream.name = upstream.address.to_string());
    upstreams
}

fn gateway(keys: &Path, upstreams: &[Upstream]) -> Gateway {
    let settings = format!("[affinity]\nkeys = \"{}\"\n[policy]\nname = \"random\"", keys.display());
    Gateway::with(&config(&settings, &upstreams.iter().collect::<Vec<_>>()))
}

fn nginx(keys: &Path, upstreams: &[Upstream]) -> Option<Nginx> {
    let homing = format!("homing key_file={} policy=random;", keys.display());
    Nginx::start(&Setup::of(format!("{homing} {}", servers(upstreams))))
}

/// How many of twenty sessions that began at `first` lose their upstream at `second`.
fn lost(first: std::net::SocketAddr, second: std::net::SocketAddr) -> usize {
    let is_lost = |_: &usize| {
        let mut visitor = Visitor::new(first, "v");
        let pinned = visitor.visit().text();
        let cookie = format!("Cookie: homing={}\r\n", visitor.token.expect("a cookie"));
        let answer = exchange(second, request("GET", "/", &cookie));
        assert_eq!(answer.status(), 200);
        token(&answer.head).is_some() || answer.text() != pinned
    };
    (0..20).filter(is_lost).count()
}

#[test]
fn with_the_gateway_both_ways() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (keys, other) = (directory.path().join("homing.keys"), directory.path().join("other.keys"));
    let upstreams = upstreams();
    // The first of the two creates the key file.
    let Some(nginx) = nginx(&keys, &upstreams) else { return };
    let sharing = gateway(&keys, &upstreams);
    assert_eq!(lost(nginx.address, sharing.address()), 0);
    assert_eq!(lost(sharing.address(), nginx.address), 0);
    // The control: with other keys, every pin is lost.
    let stranger = gateway(&other, &upstreams);
    assert_eq!(lost(nginx.address, stranger.address()), 20);
    assert_eq!(lost(stranger.address(), nginx.address), 20);
}

#[test]
fn the_gateway_s_key_file_is_taken() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = directory.path().join("homing.keys");
    let upstreams = upstreams();
    let gateway = gateway(&keys, &upstreams);
    let Some(nginx) = nginx(&keys, &upstreams) else { return };
    assert_eq!(lost(gateway.address(), nginx.address), 0);
}

/// A server name with several addresses makes several upstreams, each named by its address.
#[test]
fn servers_of_one_name_are_called_by_their_addresses() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = directory.path().join("homing.keys");
    let addresses: std::collections::BTreeSet<_> = match std::net::ToSocketAddrs::to_socket_addrs("localhost:1") {
        Ok(addresses) => addresses.map(|address| address.ip()).collect(),
        Err(_) => return println!("skipped: localhost has no address"),
    };
    let upstream = Upstream::named("app");
    let lines = format!("server localhost:{};", upstream.address.port());
    let homing = format!("homing key_file={} policy=round_robin;", keys.display());
    let Some(nginx) = Nginx::start(&Setup::of(format!("{homing} {lines}"))) else { return };
    assert_eq!(get(nginx.address, "/").text(), "app");
    let status = nginx.status();
    let names: Vec<_> = status["upstreams"]["app"]["upstreams"].as_array().expect("a list").iter().collect();
    assert_eq!(names.len(), addresses.len());
    let own = format!("{}:{}", if addresses.len() == 1 { "localhost" } else { "127.0.0.1" }, upstream.address.port());
    assert!(names.iter().any(|upstream| upstream["name"] == own), "{names:?}");
}
