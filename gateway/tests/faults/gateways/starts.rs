//! How a gateway begins with its source: with what it says, without it, or not at all.

use super::keys::{Use, keys};
use crate::support::etcd::{self, Etcd};
use crate::support::gateway::{Gateway, run};
use crate::support::test;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

const LISTEN: &str = "listen = [\"127.0.0.1:0\"]\nworkers = 1\n";

/// Where new visitors go.
fn goes_to(gateway: &Gateway, upstream: &str) -> bool {
    Visitor::new(gateway.address(), "newcomer").visit().text() == upstream
}

fn register(etcd: &Etcd, upstream: &Upstream) {
    etcd.put(&format!("/homing/upstreams/{}", upstream.name), &format!("{{\"address\": \"{}\"}}", upstream.address));
}

fn discover(endpoint: &str) -> String {
    format!("[discovery.etcd]\nendpoints = [\"{endpoint}\"]\n")
}

/// What the gateway says that does not start with this configuration.
fn refusal(directory: &Path, config: &str) -> String {
    fs::write(directory.join("gateway.toml"), config).expect("write the configuration");
    let output = run(directory, &["run", "--config", "gateway.toml"]);
    assert!(!output.status.success(), "it started");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn a_file_is_followed_and_a_wrong_one_is_not() {
    let _beside = crate::together();
    let upstreams = Upstream::several(2);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("upstreams.toml");
    let replace = |text: &str| {
        fs::write(file.with_extension("next"), text).expect("write");
        fs::rename(file.with_extension("next"), &file).expect("rename");
    };
    replace(&upstreams[0].entry(""));
    let gateway = Gateway::within(directory, &format!("{LISTEN}[discovery]\nfile = \"upstreams.toml\"\n"));
    assert!(goes_to(&gateway, "app-1"));
    replace(&upstreams[1].entry(""));
    until("the file is followed", || goes_to(&gateway, "app-2"));
    replace(&upstreams[0].entry("weight = 0\n"));
    let refused = "the last known state stays in force: ";
    until("the file is refused", || gateway.log().contains(refused));
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains(refused)).expect("the line");
    assert!(line.contains("upstreams.toml:4:10: upstream[0].weight: "), "{line}");
    assert!(goes_to(&gateway, "app-2"));
    replace(&upstreams[0].entry(""));
    until("the file is followed again", || goes_to(&gateway, "app-1"));
}

#[test]
fn without_etcd_it_begins_as_configured_and_changes_over() {
    let _beside = crate::together();
    if !etcd::is_here() {
        return;
    }
    let upstreams = Upstream::several(2);
    let ring = keys(&[(1, Use::Sign)]);
    let mut etcd = Etcd::start();
    etcd.put("/homing/keys", &keys(&[(1, Use::Verify), (2, Use::Sign)]));
    register(&etcd, &upstreams[1]);
    etcd.kill();
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("homing.keys"), &ring).expect("write the keys");
    let config = format!("{LISTEN}{}{}", discover(&etcd.endpoint()), upstreams[0].entry(""));
    let gateway = Gateway::within(directory, &config);
    until("it says so", || gateway.log().contains("starting with the upstreams of the configuration"));
    assert!(goes_to(&gateway, "app-1"));
    etcd.revive();
    until("etcd is followed", || goes_to(&gateway, "app-2"));
    until("so are its keys", || gateway.log().contains("keys replaced; key 2 signs"));

    // Keys of another fleet would make all tokens worthless.
    let identity = ring.lines().next().expect("the identity");
    etcd.put(
        "/homing/keys",
        &ring.replacen(identity, "identity = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"", 1),
    );
    until("other keys are refused", || gateway.log().contains("the last known keys stay in force"));
    // An etcd without any upstream does not empty the cluster.
    etcd.delete("/homing/upstreams/app-2");
    until("nobody is refused", || gateway.log().contains("the last known upstreams stay in force"));
    assert!(goes_to(&gateway, "app-2"));
}

#[test]
fn a_gateway_that_could_serve_no_request_does_not_start() {
    let _beside = crate::together();
    if !etcd::is_here() {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Bound and never listening.
    let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind");
    let closed = port.local_addr().expect("an address").as_socket().expect("an address");
    let config = format!("{LISTEN}{}", discover(&format!("http://{closed}")));
    let refused = refusal(directory.path(), &config);
    assert!(refused.contains("names no upstream (etcd at http://127.0.0.1:"), "{refused}");

    let upstream = &Upstream::several(1)[0];
    let etcd = Etcd::start();
    register(&etcd, upstream);
    let refused = refusal(directory.path(), &format!("{LISTEN}{}", discover(&etcd.endpoint())));
    assert!(refused.contains("the fleet's keys are neither in etcd (it has none) nor in "), "{refused}");
    assert!(!directory.path().join("homing.keys").exists(), "it made none of its own");
}
