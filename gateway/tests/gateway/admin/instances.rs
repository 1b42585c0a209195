//! Instances that register themselves, report, and deregister.

use super::host::{Events, Host, code, json};
use crate::support::until;
use crate::support::upstream::Upstream;
use homing::UpstreamConfig;
use homing::time::{Clock, SystemClock};
use homing_gateway::roster::{Override, Overrides, Registrations, RosterStore, StoreError};
use serde_json::{Value, json as value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const APP_9: &str = "/api/v1/upstreams/app-9";
const HEARTBEAT: &str = "/api/v1/upstreams/app-9/heartbeat";

/// A registration of an address that receives no traffic.
fn lasting(ttl: &str) -> String {
    value!({ "address": "127.0.0.1:9", "ttl": ttl }).to_string()
}

/// The list's entry of one upstream, if it has one.
fn found(host: &Host, name: &str) -> Option<Value> {
    let list = json(&host.get("/api/v1/upstreams"), 200);
    list["upstreams"].as_array().unwrap().iter().find(|upstream| upstream["name"] == name).cloned()
}

#[test]
fn an_instance_registers_itself_and_says_how_it_is() {
    let host = Host::start(&Upstream::several(1));
    let configured = host.listed("app-1");
    assert_eq!(configured["origin"], "configured");
    assert!(configured["registration"].is_null() && configured["report"].is_null() && configured["drain"].is_null());
    let mut events = Events::open(host.admin, "");

    let spec = value!({ "address": "127.0.0.1:9", "weight": 2, "ttl": "15s", "report": { "sessions": 3 } });
    let done = json(&host.ask("PUT", APP_9, &spec.to_string()), 201);
    assert_eq!((&done["generation"], &done["effects"][0]["effect"]), (&2.into(), &"added".into()));
    let told = host.listed("app-9");
    assert_eq!((&told["origin"], &told["weight"]), (&"registered".into(), &2.into()));
    assert_eq!(told["registration"]["ttl_seconds"], 15.0);
    assert_eq!((&told["report"]["sessions"], &told["report"]["threads"]), (&3.into(), &Value::Null));
    let (_, applied) = events.until(|event| event["kind"] == "applied");
    assert_eq!((&applied["by"], &applied["generation"]), (&"instance".into(), &2.into()));

    let again = json(&host.ask("PUT", APP_9, &spec.to_string()), 200);
    assert_eq!((&again["generation"], &again["effects"]), (&2.into(), &value!([])), "as good as a heartbeat");
    let report = value!({ "sessions": 12, "memory_bytes": 1_u64 << 33, "threads": 9, "cpu": 0.25 });
    let told = json(&host.ask("POST", HEARTBEAT, &report.to_string()), 200);
    let mut expected = report.clone();
    expected["at"] = told["report"]["at"].clone();
    assert_eq!(told["report"], expected);
    assert!(told["registration"]["expires"].as_str() > told["report"]["at"].as_str());
    // A configured instance may report too; one that does not is in the cluster all the same.
    json(&host.ask("POST", "/api/v1/upstreams/app-1/heartbeat", r#"{"threads":4}"#), 200);
    json(&host.ask("POST", "/api/v1/upstreams/app-1/heartbeat", ""), 200);
    assert_eq!(host.listed("app-1")["registration"], Value::Null);

    let metrics = host.get("/metrics").text();
    let sample = |name: &str, value: &str| {
        let line = format!("homing_upstream_{name}{{upstream=\"app-9\"}} {value}");
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    };
    sample("reported_sessions", "12.0");
    sample("reported_memory_bytes", "8589934592.0");
    sample("reported_threads", "9.0");
    sample("reported_cpu_cores", "0.25");
    assert!(metrics.contains("homing_upstream_report_timestamp_seconds{upstream=\"app-9\"}"), "{metrics}");
    assert!(!metrics.contains("homing_upstream_reported_sessions{upstream=\"app-1\"}"), "it does not say");
}

#[test]
fn an_instance_without_heartbeats_drains_and_is_removed_and_others_stay() {
    let host = Host::start(&Upstream::several(1));
    json(&host.ask("PUT", APP_9, &lasting("1s")), 201);
    json(&host.ask("PUT", "/api/v1/upstreams/app-8", &lasting("1s")), 201);
    let alive = || json(&host.ask("POST", "/api/v1/upstreams/app-8/heartbeat", ""), 200);
    until("it drains", || {
        assert_eq!(alive()["state"], "active");
        let silent = found(&host, "app-9").unwrap();
        silent["state"] == "draining" && silent["cause"] == "no heartbeat for its TTL"
    });
    assert!(found(&host, "app-9").unwrap()["drain"]["deadline"].is_string());
    // A heartbeat makes it accept sessions again; then its heartbeats stop for good.
    assert_eq!(json(&host.ask("POST", HEARTBEAT, ""), 200)["state"], "active");
    until("it is gone", || {
        assert_eq!(alive()["state"], "active");
        found(&host, "app-9").is_none()
    });
    assert_eq!(code(&host.ask("POST", HEARTBEAT, ""), 404), "no_upstream");
    let events: Vec<Value> = {
        let mut stream = Events::open(host.admin, "");
        std::iter::repeat_with(|| stream.next().1)
            .take_while(|event| event["by"] != "expiry" || event["kind"] != "applied")
            .collect()
    };
    assert!(events.iter().any(|event| event["by"] == "expiry" && event["kind"] == "drain"), "{events:?}");
}

#[test]
fn an_instance_goes_at_once_or_when_nothing_is_left_on_it() {
    let host = Host::start(&Upstream::several(1));
    let goes = |body: &str| host.ask("POST", "/api/v1/upstreams/app-9/deregister", body);
    assert_eq!(code(&goes(""), 404), "no_upstream");
    json(&host.ask("PUT", APP_9, &lasting("15s")), 201);
    assert_eq!(json(&goes(""), 200)["effects"][0]["effect"], "removed");
    assert_eq!(host.names(), ["app-1"]);

    json(&host.ask("PUT", APP_9, &lasting("15s")), 201);
    let lease = {
        use homing::Request;
        let balancer = host.proxy.balancer();
        let picks = std::iter::repeat_with(|| balancer.pick(&Request::new(SystemClock.now())).unwrap());
        picks.take(8).find(|pick| pick.upstream().name() == "app-9").unwrap().lease
    };
    json(&goes(r#"{"drain":"10m"}"#), 200);
    let told = host.listed("app-9");
    assert_eq!(told["cause"], "it has deregistered itself");
    assert_eq!((&told["state"], told["drain"]["deadline"].is_string()), (&"draining".into(), true));
    assert_eq!(json(&host.ask("POST", HEARTBEAT, ""), 200)["state"], "draining", "whoever goes still says how it is");
    drop(lease);
    // Registering again revokes it.
    assert!(json(&host.ask("PUT", APP_9, &lasting("15s")), 200)["effects"].as_array().unwrap().is_empty());
    assert_eq!(host.listed("app-9")["state"], "active");
    assert_eq!(code(&goes(r#"{"drain":"soon"}"#), 422), "value");
    assert_eq!(code(&goes(r#"{"darin":"1s"}"#), 400), "body");
}

#[test]
fn an_instance_removed_by_an_operator_is_told_so() {
    let host = Host::start(&Upstream::several(1));
    json(&host.ask("PUT", APP_9, &lasting("15s")), 201);
    json(&host.ask("DELETE", APP_9, ""), 200);
    assert_eq!(code(&host.ask("POST", HEARTBEAT, ""), 409), "removed");
    assert_eq!(code(&host.ask("PUT", APP_9, &lasting("15s")), 409), "removed");
    assert_eq!(host.names(), ["app-1"]);
    json(&host.ask("PUT", APP_9, r#"{"address":"127.0.0.1:9"}"#), 201);
    assert_eq!(host.listed("app-9")["origin"], "registered", "as it says itself");
    json(&host.ask("POST", HEARTBEAT, ""), 200);
}

#[test]
fn what_an_instance_cannot_be_or_say_is_refused() {
    let host = Host::start(&Upstream::several(1));
    for (body, status, expected) in [
        (lasting("0s"), 422, "value"),
        (lasting("999ms"), 422, "value"),
        (lasting("25h"), 422, "value"),
        (lasting("15"), 422, "value"),
        (lasting(""), 422, "value"),
        (r#"{"address":"nowhere","ttl":"15s"}"#.into(), 422, "value"),
        (r#"{"address":"a:1","ttl":15}"#.into(), 400, "body"),
        (r#"{"address":"a:1","report":{"sessions":1}}"#.into(), 422, "value"),
        (r#"{"address":"a:1","ttl":"15s","report":{"sessions":-1}}"#.into(), 400, "body"),
        (r#"{"address":"a:1","ttl":"15s","report":{"cpu":-1}}"#.into(), 422, "value"),
        (r#"{"address":"a:1","ttl":"15s","report":{"mood":"good"}}"#.into(), 400, "body"),
        (r#"{"address":"a:1","ttl":"15s","report":[1]}"#.into(), 400, "body"),
    ] {
        assert_eq!(code(&host.ask("PUT", APP_9, &body), status), expected, "{body}");
    }
    assert_eq!(code(&host.ask("PUT", "/api/v1/upstreams/app%209", &lasting("15s")), 422), "value");
    for body in [r#"{"cpu":-0.5}"#, r#"{"cpu":1e400}"#, r#"{"threads":1.5}"#, r#"{"sessions":1,"mood":1}"#, "[]"] {
        let refused = host.ask("POST", "/api/v1/upstreams/app-1/heartbeat", body);
        assert!([400, 422].contains(&refused.status()), "{body}: {}", refused.text());
    }
    assert_eq!((host.generation(), host.names()), (1, vec!["app-1".to_owned()]));
    assert!(host.listed("app-1")["report"].is_null());
}

/// Fails on command.
#[derive(Clone, Default)]
struct Disk(Arc<AtomicBool>);

impl Disk {
    fn answer(&self) -> Result<(), StoreError> {
        if self.0.load(Ordering::Relaxed) { Err(StoreError::new("no space left on device")) } else { Ok(()) }
    }
}

impl RosterStore for Disk {
    fn save(&self, _: &[(&str, Option<&Override>)], _: &Overrides) -> Result<(), StoreError> {
        self.answer()
    }

    fn save_registrations(&self, _: &Registrations) -> Result<(), StoreError> {
        self.answer()
    }
}

#[test]
fn what_cannot_be_kept_is_refused_and_not_done() {
    let disk = Disk::default();
    let host = Host::storing(&Upstream::several(2), disk.clone());
    json(&host.ask("POST", "/api/v1/upstreams/app-2/drain", ""), 200);
    let before = json(&host.get("/api/v1/upstreams"), 200)["upstreams"].clone();
    disk.0.store(true, Ordering::Relaxed);
    let apply = r#"{"generation":1,"changes":[{"remove":"app-1"}]}"#;
    for (method, target, body) in [
        ("PUT", APP_9, r#"{"address":"127.0.0.1:9"}"#),
        ("PUT", APP_9, r#"{"address":"127.0.0.1:9","ttl":"15s"}"#),
        ("DELETE", "/api/v1/upstreams/app-1", ""),
        ("POST", "/api/v1/upstreams/app-1/drain", r#"{"deadline":"10m"}"#),
        ("POST", "/api/v1/upstreams/app-2/resume", ""),
        ("POST", "/api/v1/apply", apply),
    ] {
        let refused = host.ask(method, target, body);
        assert_eq!(code(&refused, 503), "store", "{method} {target}");
        assert!(refused.text().contains("was not made: no space left on device"), "{}", refused.text());
    }
    assert_eq!(json(&host.get("/api/v1/upstreams"), 200)["upstreams"], before);
    disk.0.store(false, Ordering::Relaxed);
    json(&host.ask("POST", "/api/v1/apply", apply), 200);
    assert_eq!(host.names(), ["app-2"]);
}

#[test]
fn what_others_change_shows_in_the_events() {
    let host = Host::start(&Upstream::several(2));
    let mut events = Events::open(host.admin, "");
    let base =
        [("app-1", 3), ("app-5", 1)].map(|(name, weight)| UpstreamConfig::new(name, "127.0.0.1:9").weight(weight));
    host.roster.set_base(base.to_vec(), SystemClock.now()).unwrap();
    let (_, event) = events.until(|event| event["kind"] == "applied");
    assert_eq!((&event["by"], &event["generation"]), (&"configuration".into(), &2.into()));
    let text = event["text"].as_str().unwrap();
    assert!(
        text.contains("app-2: removed") && text.contains("app-5: added") && text.contains("app-1: changed"),
        "{text}"
    );
    host.roster.set_discovered(base[..1].to_vec(), SystemClock.now()).unwrap();
    let (_, event) = events.until(|event| event["kind"] == "applied");
    assert_eq!((&event["by"], &event["generation"]), (&"discovery".into(), &3.into()));
    assert_eq!(host.listed("app-1")["origin"], "discovered");
}
