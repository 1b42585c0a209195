//! Hash policies in the gateway: what they hash, and what happens if it is absent.

use std::collections::BTreeSet;

use crate::support::client::{exchange, request};
use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;

const POLICIES: [&str; 5] = ["hash", "ketama", "chash", "maglev", "rendezvous"];

/// Sends each `request(n)` for 40 values of n twice to a gateway that hashes `key`; the name of the upstream that each
/// value has reached, which must be one.
fn placed(policy: &str, key: &str, request: impl Fn(u32) -> String) -> Vec<String> {
    let upstreams = Upstream::several(5);
    let settings = format!("[affinity]\nenabled = false\n[policy]\nname = \"{policy}\"\nkey = \"{key}\"");
    let gateway = Gateway::start(&settings, &upstreams.iter().collect::<Vec<_>>());
    let round = || -> Vec<String> {
        let reached = |n| {
            let seen = || upstreams.iter().map(|upstream| upstream.seen().len()).collect::<Vec<_>>();
            let before = seen();
            assert_eq!(exchange(gateway.address(), request(n)).status(), 200);
            let index = seen().iter().zip(before).position(|(after, before)| *after > before).expect("an upstream");
            upstreams[index].name.clone()
        };
        (0..40).map(reached).collect()
    };
    let first = round();
    assert_eq!(first, round(), "{policy} by {key}: a key has moved");
    first
}

fn several(placed: Vec<String>) -> bool {
    placed.into_iter().collect::<BTreeSet<_>>().len() > 2
}

#[test]
fn every_part_of_a_request_can_be_the_key() {
    for policy in POLICIES {
        assert!(
            several(placed(policy, "header:X-User", |n| request("GET", "/", &format!("X-User: {n}\r\n")))),
            "{policy}"
        );
    }
    assert!(several(placed("hash", "uri", |n| request("GET", &format!("/?{n}"), ""))));
    assert!(several(placed("hash", "path", |n| request("GET", &format!("/{n}?x"), ""))));
    assert!(several(placed("hash", "query:room", |n| request("GET", &format!("/?a=1&room=r{n}"), ""))));
    assert!(several(placed("hash", "cookie:sid", |n| request("GET", "/", &format!("Cookie: a=1; sid=s{n}\r\n")))));
}

/// All clients come from 127.0.0.1 here, so without a key of their own they are one.
#[test]
fn a_request_without_the_key_is_placed_by_its_client() {
    for policy in POLICIES {
        for (key, target) in
            [("client_ip", "/?room"), ("header:x-user", "/"), ("path", "/"), ("query:room", "/?rooms=")]
        {
            let placed = placed(policy, key, |n| {
                request("GET", &format!("{target}{}", if key == "path" { String::new() } else { format!("&{n}") }), "")
            });
            assert!(placed.iter().all(|name| *name == placed[0]), "{policy} by {key}: {placed:?}");
        }
    }
}

/// Behind a trusted proxy the client is the peer that this proxy reports.
#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    for policy in ["hash", "chash", "ip_hash"] {
        let upstreams = Upstream::several(5);
        let settings =
            format!("trusted_proxies = [\"127.0.0.1/32\"]\n[affinity]\nenabled = false\n[policy]\nname = \"{policy}\"");
        let gateway = Gateway::start(&settings, &upstreams.iter().collect::<Vec<_>>());
        for n in 0..40 {
            let fields = format!("X-Forwarded-For: 203.0.{n}.7\r\n");
            assert_eq!(exchange(gateway.address(), request("GET", "/", &fields)).status(), 200);
        }
        let reached = upstreams.iter().filter(|upstream| !upstream.seen().is_empty()).count();
        assert!(reached > 2, "{policy} has placed all on {reached}");
    }
}
