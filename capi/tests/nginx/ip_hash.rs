//! The library's ip_hash, hash and consistent hash pick the same servers as nginx's own, for the same clients in one
//! nginx.

use crate::support::test;
use std::fmt::Write;
use std::net::IpAddr;

use super::server::{Nginx, Setup};
use crate::support::client::{connect, request};
use crate::support::dice::Dice;
use crate::support::upstream::Upstream;

const CLIENTS: usize = 400;

/// nginx's directive, and the module's.
const METHODS: [(&str, &str); 3] = [
    ("ip_hash;", "policy=ip_hash"),
    ("hash $http_x_key;", "policy=hash key=$http_x_key"),
    ("hash $http_x_key consistent;", "policy=ketama key=$http_x_key"),
];

/// Five servers, one of them marked down; `weight` is that of the third.
fn lines(upstreams: &[Upstream], weight: u32) -> String {
    let mut lines = String::new();
    for (i, upstream) in upstreams.iter().enumerate() {
        let weight = [1, 2, weight, 1, 4][i];
        let down = if i == 3 { " down" } else { "" };
        write!(lines, "server {} weight={weight}{down}; ", upstream.address).unwrap();
    }
    lines
}

fn setup(upstreams: &[Upstream], our_weight: u32) -> Setup {
    let (mut http, mut server) = (String::new(), String::new());
    for (i, (theirs, ours)) in METHODS.iter().enumerate() {
        writeln!(http, "upstream t{i} {{ {theirs} {} }}", lines(upstreams, 3)).unwrap();
        writeln!(http, "upstream o{i} {{ homing key_file=homing.keys {ours}; {} }}", lines(upstreams, our_weight))
            .unwrap();
        write!(server, " location /t{i} {{ proxy_pass http://t{i}; }} location /o{i} {{ proxy_pass http://o{i}; }}")
            .unwrap();
    }
    Setup { http, server, ..Setup::default() }
}

/// For each method, how many clients the module sends to another server.
fn differences(test: &str, our_weight: u32) -> Option<[usize; METHODS.len()]> {
    let upstreams = Upstream::several(5);
    let nginx = Nginx::start(&setup(&upstreams, our_weight))?;
    let dice = Dice::new(test);
    let mut wire = connect(nginx.address);
    let mut different = [0; METHODS.len()];
    let mut all_pinned = std::collections::BTreeMap::<String, usize>::new();
    let is_mapped = |client: &IpAddr| client.to_canonical() != *client;
    let clients = std::iter::repeat_with(|| dice.client()).filter(|client| !is_mapped(client)).take(CLIENTS);
    for (n, client) in clients.enumerate() {
        // nginx closes a connection after a thousand requests.
        if n % 100 == 99 {
            wire = connect(nginx.address);
        }
        let fields = format!("X-Client: {client}\r\nX-Key: key-{}\r\n", dice.bits());
        for (i, different) in different.iter_mut().enumerate() {
            let mut ask = |kind: char| wire.exchange(request("GET", &format!("/{kind}{i}"), &fields)).text();
            let (theirs, ours) = (ask('t'), ask('o'));
            *different += usize::from(theirs != ours);
            *all_pinned.entry(theirs).or_default() += 1;
        }
    }
    assert_eq!(all_pinned.len(), 4, "all that are up have clients: {all_pinned:?}");
    assert_eq!(nginx.complaints(), [""; 0]);
    Some(different)
}

#[test]
fn every_client_is_where_nginx_places_it() {
    let Some(different) = differences("nginx beside nginx", 3) else { return };
    assert_eq!(different, [0; METHODS.len()]);
}

#[test]
fn another_weight_is_noticed() {
    let Some(different) = differences("nginx beside nginx, distorted", 9) else { return };
    assert!(different.iter().all(|different| *different > CLIENTS / 20), "{different:?}");
}
