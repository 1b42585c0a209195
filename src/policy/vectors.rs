//! Compares placements with those recorded from other programs (`tests/vectors`).

use super::conformance::{Build, addressed_cluster, session};
use crate::cluster::{Availability, Session};
use serde_json::Value;
use std::net::IpAddr;

/// The vectors of this algorithm in nginx's recording.
pub(super) fn nginx(algorithm: &str) -> Vec<Value> {
    recorded(include_str!("../../tests/vectors/nginx.json"), algorithm)
}

/// The vectors of this algorithm in HAProxy's recording.
pub(super) fn haproxy(algorithm: &str) -> Vec<Value> {
    recorded(include_str!("../../tests/vectors/haproxy.json"), algorithm)
}

fn recorded(text: &str, algorithm: &str) -> Vec<Value> {
    let recording: Value = serde_json::from_str(text).unwrap();
    recording["vectors"].as_array().unwrap().iter().filter(|v| v["algorithm"] == algorithm).cloned().collect()
}

fn numbers(list: &Value) -> Vec<u16> {
    list.as_array().into_iter().flatten().map(|number| number.as_u64().unwrap().try_into().unwrap()).collect()
}

/// Asserts every pick, and the numbers of vectors and picks.
pub(super) fn assert_places_as_recorded(vectors: &[Value], build: Build<'_>, count: usize, picks: usize) {
    let mut seen = 0;
    for vector in vectors {
        let servers: Vec<&str> = vector["servers"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
        let cluster = addressed_cluster(&servers, &numbers(&vector["weights"]));
        for down in numbers(&vector["down"]) {
            cluster.members()[usize::from(down)].upstream().set_availability(Availability::DOWN);
        }
        let policy = build(&cluster);
        for pick in vector["picks"].as_array().unwrap() {
            let text = pick[0].as_str().unwrap();
            // The input is an address or a key, and no key of the recordings parses as an address.
            let client: Option<IpAddr> = text.parse().ok();
            let key = client.is_none().then_some(text.as_bytes());
            let placed = policy.place(&cluster, &Session { client, key, ..session(0) });
            let expected = usize::try_from(pick[1].as_u64().unwrap()).unwrap();
            assert_eq!(placed, Some(expected), "{} {text}", vector["case"]);
            seen += 1;
        }
    }
    assert_eq!((vectors.len(), seen), (count, picks), "the vectors are all there");
}
