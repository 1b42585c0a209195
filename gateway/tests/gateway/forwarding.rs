//! What the gateway tells upstreams about the client, and which peers it trusts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

use crate::support::client::{connect_from, exchange, request};
use crate::support::gateway::Gateway;
use crate::support::head::Head;
use crate::support::upstream::Upstream;

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1/32\"]";

/// The request that an upstream gets for a GET with those field lines, sent by `peer`.
fn forwarded(settings: &str, peer: IpAddr, fields: &str) -> Head {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start(settings, &[&upstream]);
    let response = connect_from(peer, gateway.address()).exchange(request("GET", "/", fields));
    assert_eq!(response.status(), 200, "{response:?}");
    upstream.only().head
}

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const SPOOFED: &str = "X-Forwarded-For: 203.0.113.66\r\nX-Forwarded-For: 203.0.113.67\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\
    X-Real-IP: 203.0.113.66\r\nForwarded: for=203.0.113.66;proto=https;host=evil.example\r\n";

/// The parameters of each element of `Forwarded` (RFC 7239, 4), names in lower case, values unquoted.
fn elements(head: &Head) -> Vec<Vec<(String, String)>> {
    let parameter = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or_else(|| panic!("{text:?} of {head:?}"));
        assert!(value.starts_with('"') || !value.contains([':', '[', ']', ' ']), "{value} has to be quoted");
        (name.trim().to_lowercase(), value.trim_matches('"').to_owned())
    };
    head.list("forwarded").iter().map(|element| element.split(';').map(parameter).collect()).collect()
}

fn sorted(mut element: Vec<(String, String)>) -> Vec<(String, String)> {
    element.retain(|(name, _)| name != "by");
    element.sort();
    element
}

fn element(client: &str, host: &str, proto: &str) -> Vec<(String, String)> {
    [("for", client), ("host", host), ("proto", proto)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

#[test]
fn the_client_is_told() {
    let head = forwarded("", PROXY, "");
    assert_eq!(head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(head.all("x-forwarded-host"), ["app.example"]);
    assert_eq!(head.all("host"), ["app.example"]);
    let [only] = &elements(&head)[..] else { panic!("{head:?}") };
    assert_eq!(sorted(only.clone()), element("127.0.0.1", "app.example", "http"));
}

#[test]
fn a_strangers_claims_are_replaced() {
    for settings in ["", TRUSTED] {
        let head = forwarded(settings, STRANGER, SPOOFED);
        assert_eq!(head.all("x-forwarded-for"), ["127.0.0.2"]);
        assert_eq!(head.all("x-forwarded-proto"), ["http"]);
        assert_eq!(head.all("x-forwarded-host"), ["app.example"]);
        assert!(head.all("x-real-ip").iter().all(|address| address == "127.0.0.2"), "{head:?}");
        let [only] = &elements(&head)[..] else { panic!("{head:?}") };
        assert_eq!(sorted(only.clone()), element("127.0.0.2", "app.example", "http"));
    }
}

#[test]
fn no_proxy_is_trusted_by_default() {
    assert_eq!(forwarded("", PROXY, SPOOFED).all("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn a_trusted_proxys_claims_are_kept_and_it_is_added() {
    let head =
        forwarded(TRUSTED, PROXY, "X-Forwarded-For: 203.0.113.66, 198.51.100.7\r\nForwarded: for=203.0.113.66\r\n");
    assert_eq!(head.list("x-forwarded-for"), ["203.0.113.66", "198.51.100.7", "127.0.0.1"]);
    let elements = elements(&head);
    assert_eq!(elements.len(), 2, "{head:?}");
    assert_eq!(sorted(elements[0].clone()), [("for".to_owned(), "203.0.113.66".to_owned())]);
    assert_eq!(sorted(elements[1].clone()), element("127.0.0.1", "app.example", "http"));
}

#[test]
fn several_fields_of_a_trusted_proxy_stay_in_order() {
    let head = forwarded(TRUSTED, PROXY, "X-Forwarded-For: 203.0.113.66\r\nX-Forwarded-For: 198.51.100.7\r\n");
    assert_eq!(head.list("x-forwarded-for"), ["203.0.113.66", "198.51.100.7", "127.0.0.1"]);
}

#[test]
fn a_trusted_proxy_with_nothing_to_tell_is_the_client() {
    assert_eq!(forwarded(TRUSTED, PROXY, "").all("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn hosts_with_a_port_are_quoted() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    exchange(gateway.address(), "GET / HTTP/1.1\r\nHost: app.example:8080\r\n\r\n");
    let head = upstream.only().head;
    assert_eq!(head.all("x-forwarded-host"), ["app.example:8080"]);
    assert_eq!(sorted(elements(&head)[0].clone()), element("127.0.0.1", "app.example:8080", "http"));
}

#[test]
fn via_names_the_protocol_that_was_received() {
    let via = forwarded("", PROXY, "").list("via");
    let [ours] = &via[..] else { panic!("{via:?}") };
    let (protocol, name) = ours.split_once(' ').expect("a pseudonym");
    assert_eq!(protocol, "1.1");
    assert!(!name.is_empty());

    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    exchange(gateway.address(), "GET / HTTP/1.0\r\nHost: app.example\r\n\r\n");
    assert_eq!(upstream.only().head.list("via"), [format!("1.0 {name}")]);
}

#[test]
fn via_is_appended() {
    let via = forwarded("", PROXY, "Via: 1.0 first, 2 second\r\nVia: 1.1 third\r\n").list("via");
    assert_eq!(via[..3], ["1.0 first", "2 second", "1.1 third"]);
    assert_eq!(via.len(), 4);
}

#[test]
fn ipv6_clients_are_quoted_where_they_must_be() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: this machine has no IPv6 on loopback");
        return;
    }
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::with(&format!("listen = [\"[::1]:0\"]\n{}", upstream.entry("")));
    exchange(gateway.address(), request("GET", "/", ""));
    let head = upstream.only().head;
    assert_eq!(head.all("x-forwarded-for"), ["::1"]);
    assert_eq!(sorted(elements(&head)[0].clone()), element("[::1]", "app.example", "http"));
}
