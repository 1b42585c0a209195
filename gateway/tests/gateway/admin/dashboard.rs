//! The dashboard: access to it, its content security policy, and the history that it plots.

use super::host::{Host, json, request};
use crate::support::client::{Response, exchange};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use homing_gateway::admin::BearerToken;
use sha2::{Digest, Sha256};

fn page(host: &Host) -> Response {
    let page = exchange(host.admin, request("GET", "/", "Host: localhost\r\n", ""));
    assert_eq!(page.status(), 200);
    assert_eq!(page.head.one("content-type").as_deref(), Some("text/html; charset=utf-8"));
    page
}

/// The text of the page, which is UTF-8.
fn text(page: &Response) -> String {
    String::from_utf8(page.body.data.clone()).unwrap()
}

/// The text between the only `open` and the `close` after it.
fn within<'t>(text: &'t str, open: &str, close: &str) -> &'t str {
    assert_eq!(text.matches(open).count(), 1, "{open}");
    text.split_once(open).unwrap().1.split_once(close).unwrap().0
}

fn source(text: &str) -> String {
    let mut hash = [0; 44];
    assert_eq!(STANDARD.encode_slice(Sha256::digest(text), &mut hash), Ok(44));
    format!("'sha256-{}'", std::str::from_utf8(&hash).unwrap())
}

#[test]
fn the_page_may_do_nothing_but_be_itself() {
    let host = Host::start(&Upstream::several(1));
    let page = page(&host);
    let policy = page.head.one("content-security-policy").unwrap();
    let mut directives: Vec<(&str, &str)> =
        policy.split("; ").map(|directive| directive.split_once(' ').unwrap()).collect();
    directives.sort_unstable();
    let html = text(&page);
    let style = source(within(&html, "<style>", "</style>"));
    let script = source(within(&html, "<script type=\"module\">", "</script>"));
    let expected = [
        ("base-uri", "'none'"),
        ("connect-src", "'self'"),
        ("default-src", "'none'"),
        ("form-action", "'none'"),
        ("frame-ancestors", "'none'"),
        ("img-src", "data:"),
        ("script-src", &script),
        ("style-src", &style),
    ];
    assert_eq!(directives, expected);
    assert!(source(&format!("{html} ")) != source(&html), "one character more is another source");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.head.one(name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn the_page_has_no_style_script_or_handler_that_the_policy_would_not_know() {
    let host = Host::start(&Upstream::several(1));
    let html = text(&page(&host));
    let markup = html.replace(within(&html, "<style>", "</style>"), "");
    let markup = markup.replace(within(&html, "<script type=\"module\">", "</script>"), "");
    for never in [" style=", " onclick=", " onload=", " onerror=", "javascript:", "src=", "@import", "url("] {
        assert!(!markup.contains(never), "{never}");
    }
    let script = within(&html, "<script type=\"module\">", "</script>");
    for never in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
        assert!(!script.contains(never), "{never}");
    }
}

#[test]
fn the_page_is_the_only_thing_that_needs_no_token_and_it_tells_nothing() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let upstreams = Upstream::several(1);
    let open = text(&page(&Host::start(&upstreams)));
    let token = BearerToken::new(TOKEN).unwrap();
    let host = Host::with(&upstreams, "round_robin", |admin| admin.token(token));
    assert_eq!(text(&page(&host)), open, "it is the same for everybody");
    assert!(!open.contains("app-1") && !open.contains(&upstreams[0].address.to_string()));
    for (method, target) in [("POST", "/"), ("HEAD", "/"), ("GET", "//"), ("GET", "/?x"), ("GET", "/api/v1/history")] {
        let fields = "Host: localhost\r\nContent-Type: application/json\r\n";
        let status = exchange(host.admin, request(method, target, fields, "")).status();
        let expected = if target == "/?x" { 200 } else { 401 };
        assert_eq!(status, expected, "{method} {target}");
    }
}

#[test]
fn history_is_empty_where_none_is_kept() {
    let host = Host::start(&Upstream::several(1));
    let history = json(&host.get("/api/v1/history"), 200);
    assert_eq!(history, serde_json::json!({ "interval_seconds": 5, "samples": [] }));
}

#[test]
fn history_is_what_was_told_of_live_sessions() {
    let upstreams = Upstream::several(2);
    let host = Host::keeping_history(&upstreams);
    let samples = || json(&host.get("/api/v1/history"), 200)["samples"].as_array().unwrap().clone();
    until("the first look comes at once", || !samples().is_empty());
    assert_eq!(samples()[0]["live_sessions"], serde_json::json!({ "app-1": 0, "app-2": 0 }));
    Visitor::several(host.address, 6).iter_mut().for_each(|visitor| drop(visitor.visit()));
    let last = || samples().last().unwrap()["live_sessions"].clone();
    until("a later one sees the visitors", || last() == serde_json::json!({ "app-1": 3, "app-2": 3 }));
    let list = json(&host.get("/api/v1/upstreams"), 200);
    assert!(samples().last().unwrap()["at"].as_str() <= list["now"].as_str());
}
