//! A visitor stays with its upstream, and every upstream gets its share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use crate::support::GUARD;
use crate::support::client::{connect, connect_from, exchange, get, request};
use crate::support::gateway::{Gateway, config};
use crate::support::upstream::Upstream;
use crate::support::visitor::{Visitor, token};

/// For each visitor, the upstreams that have seen it, from their logs.
pub fn seen_by(upstreams: &[Upstream]) -> BTreeMap<String, BTreeSet<String>> {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for upstream in upstreams {
        for request in upstream.seen() {
            let visitor = request.head.one("x-visitor").expect("a visitor");
            seen.entry(visitor).or_default().insert(upstream.name.clone());
        }
    }
    seen
}

/// The number of visitors of each upstream.
fn shares(upstreams: &[Upstream]) -> Vec<usize> {
    let seen = seen_by(upstreams);
    upstreams.iter().map(|upstream| seen.values().filter(|names| names.contains(&upstream.name)).count()).collect()
}

/// Half of the visitors keep one connection, half open a new one for each visit.
fn two_hundred_visitors(policy: &str) -> Vec<usize> {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::start(&format!("[policy]\nname = \"{policy}\""), &upstreams.iter().collect::<Vec<_>>());
    let mut visitors = Visitor::several(gateway.address(), 200);
    let mut kept: Vec<_> = (0..100).map(|_| connect(gateway.address())).collect();
    for _ in 0..4 {
        for (index, visitor) in visitors.iter_mut().enumerate() {
            let response = match kept.get_mut(index) {
                Some(wire) => visitor.visit_on(wire),
                None => visitor.visit(),
            };
            assert_eq!(response.status(), 200, "{response:?}");
        }
    }
    let seen = seen_by(&upstreams);
    assert_eq!(seen.len(), 200);
    for (visitor, names) in seen {
        assert_eq!(names.len(), 1, "{visitor} was seen by {names:?}");
    }
    assert_eq!(upstreams.iter().map(|upstream| upstream.seen().len()).sum::<usize>(), 800);
    for visitor in visitors {
        assert_eq!(visitor.given, 1, "{} was given {} cookies", visitor.name, visitor.given);
    }
    shares(&upstreams)
}

#[test]
fn visitors_stay_under_round_robin() {
    assert_eq!(two_hundred_visitors("round_robin"), [40; 5]);
}

#[test]
fn visitors_stay_under_least_conn() {
    // All are idle when a visitor comes: ties. An even split gives 40; 15 is 4.4 deviations off
    // what chance would give.
    let shares = two_hundred_visitors("least_conn");
    assert!(shares.iter().all(|&share| share >= 15), "{shares:?}");
}

#[test]
fn visitors_without_a_cookie_are_noticed() {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::start("[policy]\nname = \"round_robin\"", &upstreams.iter().collect::<Vec<_>>());
    let mut visitor = Visitor::new(gateway.address(), "forgetful");
    for _ in 0..5 {
        visitor.visit();
        visitor.token = None;
    }
    assert_eq!(visitor.given, 5);
    assert_eq!(seen_by(&upstreams)["forgetful"].len(), 5);
}

#[test]
fn weights_are_honoured() {
    let upstreams = Upstream::several(3);
    let entries: String =
        upstreams.iter().zip([5, 1, 1]).map(|(it, weight)| it.entry(&format!("weight = {weight}"))).collect();
    let gateway = Gateway::with(&format!("{}{entries}", config("[policy]\nname = \"round_robin\"", &[])));
    for mut visitor in Visitor::several(gateway.address(), 70) {
        visitor.visit();
    }
    assert_eq!(shares(&upstreams), [50, 10, 10]);
}

/// An upstream that responds on command, and reports each request.
fn held(name: &str, asked: &Sender<String>, release: &Arc<Mutex<Receiver<()>>>) -> Upstream {
    let (asked, release, name_of) = (asked.clone(), release.clone(), name.to_owned());
    Upstream::start(name, move |exchange| {
        exchange.body()?;
        // The test may have ended, and with it the receiver.
        let _ = asked.send(name_of.clone());
        let _ = release.lock().expect("lock").recv_timeout(GUARD);
        exchange.ok(&name_of)
    })
}

#[test]
fn least_conn_counts_what_is_in_flight() {
    let (asked, asks) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let upstreams: Vec<_> = (1..=5).map(|number| held(&format!("app-{number}"), &asked, &released)).collect();
    let gateway = Gateway::start("[policy]\nname = \"least_conn\"", &upstreams.iter().collect::<Vec<_>>());
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let mut wire = connect(gateway.address());
        wire.send(request("GET", "/", "X-Visitor: some\r\n")).expect("send");
        waiting.push(wire);
        asks.recv_timeout(GUARD).expect("an upstream is asked");
    }
    let loads: Vec<_> = upstreams.iter().map(|upstream| upstream.seen().len()).collect();
    assert_eq!(loads, [2; 5]);
    for _ in &waiting {
        release.send(()).expect("release one");
    }
    for wire in &mut waiting {
        assert_eq!(wire.response("GET").status(), 200);
    }
}

/// nginx's `ip_hash` over upstreams of weight 1, as its source does it.
fn nginx_ip_hash(client: Ipv4Addr, upstreams: usize) -> usize {
    let hash = client.octets()[..3].iter().fold(89, |hash, &byte| (hash * 113 + usize::from(byte)) % 6271);
    hash % upstreams
}

const BY_ADDRESS: &str =
    "trusted_proxies = [\"127.0.0.1/32\", \"10.0.0.0/8\"]\n[affinity]\nenabled = false\n[policy]\nname = \"ip_hash\"";

#[test]
fn ip_hash_places_by_the_client_behind_trusted_proxies() {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::start(BY_ADDRESS, &upstreams.iter().collect::<Vec<_>>());
    let mut places = BTreeSet::new();
    for number in 0..60 {
        let client = Ipv4Addr::new(203, 0, 113 + number, 7);
        // The rightmost untrusted hop counts; whatever is left of it is unverified.
        let fields = format!("X-Forwarded-For: 198.51.100.1, {client}, 10.1.2.3\r\n");
        let response = exchange(gateway.address(), request("GET", "/", &fields));
        let place = nginx_ip_hash(client, upstreams.len());
        assert_eq!(response.text(), upstreams[place].name, "{client}");
        assert_eq!(token(&response.head), None);
        places.insert(place);
    }
    assert_eq!(places.len(), 5);
}

#[test]
fn ip_hash_believes_no_stranger() {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::start(BY_ADDRESS, &upstreams.iter().collect::<Vec<_>>());
    let stranger = Ipv4Addr::new(127, 0, 0, 2);
    let place = nginx_ip_hash(stranger, upstreams.len());
    for number in 0..20 {
        let mut wire = connect_from(IpAddr::V4(stranger), gateway.address());
        let response = wire.exchange(request("GET", "/", &format!("X-Forwarded-For: 203.0.{number}.7\r\n")));
        assert_eq!(response.text(), upstreams[place].name);
    }
}

#[test]
fn without_affinity_a_cookie_binds_nothing() {
    let upstreams = Upstream::several(3);
    let settings = "[affinity]\nenabled = false\n[policy]\nname = \"round_robin\"";
    let gateway = Gateway::start(settings, &upstreams.iter().collect::<Vec<_>>());
    for _ in 0..6 {
        assert_eq!(token(&get(gateway.address(), "/").head), None);
    }
    assert_eq!(upstreams.iter().map(|upstream| upstream.seen().len()).collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn a_lease_ends_with_its_response() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::with(&format!("{}{}", config("", &[]), upstream.entry("max_in_flight = 1")));
    let mut wire = connect(gateway.address());
    for _ in 0..100 {
        assert_eq!(wire.exchange(request("GET", "/", "")).status(), 200);
    }
}
