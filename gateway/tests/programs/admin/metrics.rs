//! What Prometheus scrapes, as promtool judges it.

use super::host::{Host, json};
use crate::support::program::find;
use crate::support::test;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use std::io::Write;
use std::process::{Command, Stdio};

/// What promtool has to say about an exposition; `None` where it is not installed.
fn promtool(text: &str) -> Option<(bool, String)> {
    let mut child = Command::new(find("promtool")?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(said).unwrap()))
}

#[test]
fn promtool_finds_nothing_to_blame() {
    let host = Host::start(&Upstream::several(2));
    Visitor::new(host.address, "v").visit();
    json(&host.ask("PUT", "/api/v1/upstreams/a%22b", r#"{"address":"a:1"}"#), 201);
    let report = r#"{"sessions":12,"memory_bytes":18446744073709551615,"threads":9,"cpu":0.25}"#;
    json(&host.ask("POST", "/api/v1/upstreams/app-1/heartbeat", report), 200);
    let text = host.get("/metrics").text();
    if let Some(verdict) = promtool(&text) {
        assert_eq!(verdict, (true, String::new()), "{text}");
        // What a missing suffix or a missing help would be told by.
        let wrong = text.replace("homing_upstream_requests_total", "homing_upstream_requests");
        assert!(!promtool(&wrong).unwrap().0, "a counter without its suffix passes");
    }
}
