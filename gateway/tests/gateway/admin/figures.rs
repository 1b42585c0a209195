//! The figures of upstreams, and those that are absent.

use super::host::{Host, code, json};
use crate::support::client::get;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use crate::support::websocket;
use homing::Balancer;
use homing::Timestamp;
use homing::UpstreamConfig;
use homing::time::FakeClock;
use homing_gateway::admin::Admin;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn upstreams_are_told_with_their_counters() {
    let upstreams = Upstream::several(2);
    let host = Host::start(&upstreams);
    let mut visitor = Visitor::new(host.address, "v");
    let home = visitor.visit().text();
    (0..4).for_each(|_| assert_eq!(visitor.visit().text(), home));

    until("the last response has been seen to its end", || host.listed(&home)["in_flight"] == 0);
    let list = json(&host.get("/api/v1/upstreams"), 200);
    assert_eq!((&list["generation"], &list["panic"], &list["waiting"]), (&1.into(), &false.into(), &0.into()));
    assert_eq!(list["upstreams"].as_array().unwrap().len(), 2);
    let told = host.listed(&home);
    let upstream = upstreams.iter().find(|upstream| upstream.name == home).unwrap();
    assert_eq!(told["address"], upstream.address.to_string());
    assert_eq!((&told["weight"], &told["max_in_flight"]), (&1.into(), &0.into()));
    assert_eq!((&told["state"], &told["cause"]), (&"active".into(), &"configured".into()));
    assert_eq!((&told["accepting"], &told["serving"]), (&true.into(), &true.into()));
    assert!(told["since"].is_null() && told["incarnation"].is_null());
    assert_eq!((&told["requests"], &told["live_sessions"]), (&5.into(), &1.into()));
    assert_eq!((&told["decisions"]["new"], &told["decisions"]["pinned"]), (&1.into(), &4.into()));

    let traffic = &told["traffic"];
    assert_eq!(traffic["sent_bytes"], upstream.raw().len());
    assert!(traffic["received_bytes"].as_u64().unwrap() > 5 * home.len() as u64);
    let quantile = |q: &str| traffic["response_seconds"][q].as_f64().unwrap();
    assert!(0.0 < quantile("p50") && quantile("p50") <= quantile("p90") && quantile("p90") <= quantile("p99"));

    let other = upstreams.iter().find(|upstream| upstream.name != home).unwrap();
    let other = host.listed(&other.name);
    assert_eq!((&other["requests"], &other["traffic"]["sent_bytes"]), (&0.into(), &0.into()), "nobody's bytes");
    assert!(other["traffic"]["response_seconds"]["p50"].is_null());
}

#[test]
fn one_upstream_is_told_as_in_the_list() {
    let upstreams = Upstream::several(2);
    let host = Host::start(&upstreams);
    assert_eq!(json(&host.get("/api/v1/upstreams/app-2"), 200), host.listed("app-2"));
    assert_eq!(json(&host.get("/api/v1/upstreams/%61pp-2"), 200)["name"], "app-2");
    assert_eq!(code(&host.get("/api/v1/upstreams/app-3"), 404), "no_upstream");
    assert_eq!(code(&host.get("/api/v1/upstreams/%zz"), 400), "body");
}

#[test]
fn open_websockets_are_counted() {
    let upstream = Upstream::start("app-1", websocket::echo);
    let upstreams = [upstream];
    let host = Host::start(&upstreams);
    let (first, _) = websocket::open(host.address, "");
    let (second, _) = websocket::open(host.address, "");
    let tunnels = |count: u64| until("tunnels", || host.listed("app-1")["traffic"]["tunnels"] == count);
    tunnels(2);
    drop(first);
    tunnels(1);
    drop(second);
    tunnels(0);
}

#[test]
fn how_quickly_it_answers_is_told_of_the_last_minutes() {
    let upstreams = Upstream::several(1);
    let clock = Arc::new(FakeClock::new(Timestamp::from_secs(2_000_000_000)));
    let host = Host::keeping_history_by(&upstreams, Arc::clone(&clock));
    let looks = || json(&host.get("/api/v1/history"), 200)["samples"].as_array().unwrap().len();
    let median = || host.listed("app-1")["traffic"]["response_seconds"]["p50"].as_f64();
    until("somebody has looked", || looks() == 1);
    assert_eq!(get(host.address, "/").text(), "app-1");
    until("it was seen to its end", || median().is_some());
    clock.advance(Duration::from_secs(61));
    until("somebody has looked again", || looks() == 2);
    assert!(median().is_some());
    clock.advance(Duration::from_secs(61));
    until("it is too long ago", || median().is_none());
    assert!(host.listed("app-1")["traffic"]["received_bytes"].as_u64() > Some(0), "and counts all the same");
}

#[test]
fn a_balancer_alone_has_no_figures_of_an_adapter() {
    let balancer = Balancer::builder().upstream(UpstreamConfig::new("a", "a:1")).build().unwrap();
    let admin = Admin::builder(balancer).build();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            tokio::spawn({
                let admin = admin.clone();
                async move { admin.serve(stream, peer, std::future::pending()).await }
            });
        }
    });
    let ask = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        crate::support::client::exchange(address, request)
    };
    let list = json(&ask("/api/v1/upstreams"), 200);
    assert!(list["waiting"].is_null() && list["upstreams"][0]["traffic"].is_null(), "{list}");
    assert!(!ask("/metrics").text().contains("upstream_sent_bytes"));
}

#[test]
fn there_is_nothing_else() {
    let upstreams = Upstream::several(1);
    let host = Host::start(&upstreams);
    for target in ["//", "/api", "/api/v1", "/api/v1/", "/api/v1/upstreams/", "/api/v2/upstreams", "/metrics/x"] {
        assert_eq!(code(&host.get(target), 404), "no_route", "{target}");
    }
    for (method, target, allow) in [
        ("POST", "/api/v1/upstreams", "GET"),
        ("PATCH", "/api/v1/upstreams/app-1", "GET, PUT, DELETE"),
        ("GET", "/api/v1/plan", "POST"),
        ("GET", "/api/v1/upstreams/app-1/drain", "POST"),
        ("OPTIONS", "/api/v1/apply", "POST"),
        ("DELETE", "/metrics", "GET"),
    ] {
        let refused = host.ask(method, target, "");
        assert_eq!(code(&refused, 405), "no_method", "{method} {target}");
        assert_eq!(refused.head.one("allow").as_deref(), Some(allow), "{method} {target}");
    }
    assert_eq!(get(host.address, "/api/v1/upstreams").text(), "app-1", "the proxy itself serves the application alone");
}

#[test]
fn the_document_is_served() {
    let host = Host::start(&Upstream::several(1));
    let document = json(&host.get("/api/v1/openapi.json"), 200);
    assert_eq!(document["openapi"], "3.1.0");
}
