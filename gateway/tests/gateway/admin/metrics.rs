//! The metrics for Prometheus.

use super::host::{Host, json};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;

fn scrape(host: &Host) -> String {
    let response = host.get("/metrics");
    assert_eq!(response.status(), 200);
    let kind = response.head.one("content-type");
    assert_eq!(kind.as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
    response.text()
}

/// The value of a sample.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == sample));
    let line = line.unwrap_or_else(|| panic!("{sample} is not in\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn figures_are_those_of_the_balancer() {
    let upstreams = Upstream::several(2);
    let host = Host::start(&upstreams);
    let mut visitor = Visitor::new(host.address, "v");
    let home = visitor.visit().text();
    (0..4).for_each(|_| drop(visitor.visit()));
    json(&host.ask("POST", &format!("/api/v1/upstreams/{home}/drain"), ""), 200);
    until("the last response has been seen to its end", || host.listed(&home)["in_flight"] == 0);

    let text = scrape(&host);
    let of = |name: &str| value(&text, &format!("homing_upstream_{name}{{upstream=\"{home}\"}}"));
    assert_eq!(of("requests_total"), 5.0);
    assert_eq!((of("live_sessions"), of("requests_in_flight"), of("weight")), (1.0, 0.0, 1.0));
    assert_eq!((of("accepting"), of("serving")), (0.0, 1.0));
    assert_eq!((of("response_seconds_count"), of("tunnels")), (5.0, 0.0));
    assert!(of("response_seconds_sum") > 0.0 && of("received_bytes_total") > 0.0);
    let sent = upstreams.iter().find(|upstream| upstream.name == home).unwrap().raw().len();
    assert_eq!(of("sent_bytes_total"), sent as f64);
    let labelled =
        |name: &str, label: &str| value(&text, &format!("homing_upstream_{name}{{upstream=\"{home}\",{label}}}"));
    assert_eq!(labelled("decisions_total", "decision=\"pinned\""), 4.0);
    assert_eq!(labelled("decisions_total", "decision=\"new\""), 1.0);
    assert_eq!((labelled("state", "state=\"draining\""), labelled("state", "state=\"active\"")), (1.0, 0.0));
    assert_eq!(value(&text, "homing_generation"), 1.0);
    assert_eq!(value(&text, "homing_refusals_total{reason=\"no_host\"}"), 0.0);
}

#[test]
fn names_are_quoted() {
    let host = Host::start(&Upstream::several(1));
    json(&host.ask("PUT", "/api/v1/upstreams/a%22b%5cc%7d", r#"{"address":"a:1"}"#), 201);
    assert_eq!(value(&scrape(&host), r#"homing_upstream_weight{upstream="a\"b\\c}"}"#), 1.0);
}
