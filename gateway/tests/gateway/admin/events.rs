//! The stream of events.

use super::host::{Events, Host, code, json};
use crate::support::until;
use crate::support::upstream::Upstream;

const DRAIN: &str = "/api/v1/upstreams/app-1/drain";
const RESUME: &str = "/api/v1/upstreams/app-1/resume";

#[test]
fn a_subscriber_receives_drains_and_every_change() {
    let host = Host::start(&Upstream::several(2));
    let mut events = Events::open(host.admin, "");
    json(&host.ask("POST", DRAIN, r#"{"deadline":"10m"}"#), 200);
    let (_, state) = events.next();
    assert_eq!((&state["kind"], &state["upstream"]), (&"state".into(), &"app-1".into()), "{state}");
    assert_eq!((&state["from"], &state["to"]), (&"active".into(), &"draining".into()));
    let (_, order) = events.until(|event| event["kind"] == "drain");
    assert_eq!((&order["upstream"], &order["generation"]), (&"app-1".into(), &1.into()));
    assert_eq!(order["text"], "app-1: drain within 600 s");
    json(&host.ask("POST", RESUME, ""), 200);
    events.until(|event| event["kind"] == "state" && event["to"] == "active");
    events.until(|event| event["kind"] == "resume");
    json(&host.ask("PUT", "/api/v1/upstreams/app-3", r#"{"address":"127.0.0.1:9"}"#), 201);
    let (_, applied) = events.until(|event| event["kind"] == "applied");
    assert_eq!((&applied["generation"], &applied["upstream"]), (&2.into(), &serde_json::Value::Null));
    assert!(applied["text"].as_str().unwrap().contains("app-3: added"));
}

#[test]
fn a_reconnecting_subscriber_resumes_after_its_last_event() {
    let host = Host::start(&Upstream::several(2));
    json(&host.ask("POST", DRAIN, ""), 200);
    let (id, _) = Events::open(host.admin, "").until(|event| event["kind"] == "drain");
    json(&host.ask("POST", RESUME, ""), 200);
    let (next, event) = Events::open(host.admin, &format!("Last-Event-ID: {id}\r\n")).next();
    assert_eq!((&event["kind"], &event["to"]), (&"state".into(), &"active".into()));
    assert_ne!(next, id);
    let (first, event) = Events::open(host.admin, "Last-Event-ID: of-another-process\r\n").next();
    assert_eq!(event["to"], "draining", "from the first on");
    assert!(first.ends_with("-1"), "{first}");
}

#[test]
fn streams_are_bounded_and_give_their_places_back() {
    let host = Host::start(&Upstream::several(1));
    let mut streams: Vec<Events> = (0..64).map(|_| Events::open(host.admin, "")).collect();
    assert_eq!(code(&host.get("/api/v1/events"), 503), "streams");
    json(&host.get("/api/v1/upstreams"), 200);
    streams.pop();
    // Seen when it is written to, at the latest.
    json(&host.ask("POST", DRAIN, ""), 200);
    until("a place is free", || {
        let mut wire = crate::support::client::connect(host.admin);
        wire.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        wire.response_head().1.status() == 200
    });
}
