//! Access control, and restrictions on browsers.

use super::host::{Host, code, json, request};
use crate::support::client::{Response, connect, exchange};
use crate::support::upstream::Upstream;
use homing_gateway::admin::BearerToken;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const JSON: &str = "Content-Type: application/json\r\n";
const DRAIN: &str = "/api/v1/upstreams/app-1/drain";

fn ask(host: &Host, method: &str, target: &str, fields: &str) -> Response {
    exchange(host.admin, request(method, target, fields, ""))
}

#[test]
fn pages_with_a_rebound_dns_name_are_refused() {
    let host = Host::start(&Upstream::several(1));
    for target in ["/api/v1/upstreams", "/metrics", "/api/v1/events", "/", "/api/v1/openapi.json"] {
        assert_eq!(code(&ask(&host, "GET", target, "Host: evil.example\r\n"), 403), "host", "{target}");
    }
    for name in ["localhost", "127.0.0.1:9090", "[::1]:80", "LocalHost:1"] {
        json(&ask(&host, "GET", "/api/v1/upstreams", &format!("Host: {name}\r\n")), 200);
    }
    assert_eq!(code(&ask(&host, "GET", "/api/v1/upstreams", ""), 403), "host", "none at all");
    let absolute = ask(&host, "GET", "http://evil.example/api/v1/upstreams", "Host: localhost\r\n");
    assert_eq!(code(&absolute, 403), "host");
}

#[test]
fn with_a_token_configured_requests_without_it_are_refused() {
    let token = BearerToken::new(TOKEN).unwrap();
    let host = Host::with(&Upstream::several(1), "round_robin", |admin| admin.token(token));
    for target in ["/api/v1/upstreams", "/metrics", "/api/v1/events", "/api/v1/history", "/api/v1/openapi.json"] {
        for fields in
            ["Host: localhost\r\n".to_owned(), format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}x\r\n")]
        {
            let refused = ask(&host, "GET", target, &fields);
            assert_eq!(code(&refused, 401), "token", "{target}");
            assert_eq!(refused.head.one("www-authenticate").as_deref(), Some("Bearer realm=\"homing\""));
        }
    }
    let borne = format!("Host: admin.example\r\nAuthorization: Bearer {TOKEN}\r\n");
    json(&ask(&host, "GET", "/api/v1/upstreams", &borne), 200);
    assert_eq!(code(&ask(&host, "POST", DRAIN, &format!("Host: admin.example\r\n{JSON}")), 401), "token");
    assert!(host.listed_with(&borne)["accepting"] == true, "and nothing was done");
    json(&ask(&host, "POST", DRAIN, &format!("{borne}{JSON}")), 200);
    assert!(host.listed_with(&borne)["accepting"] == false);
}

impl Host {
    fn listed_with(&self, fields: &str) -> serde_json::Value {
        json(&ask(self, "GET", "/api/v1/upstreams/app-1", fields), 200)
    }
}

#[test]
fn pages_of_other_origins_change_nothing() {
    let host = Host::start(&Upstream::several(2));
    let changes = [
        ("PUT", "/api/v1/upstreams/app-9"),
        ("DELETE", "/api/v1/upstreams/app-1"),
        ("POST", DRAIN),
        ("POST", "/api/v1/upstreams/app-1/resume"),
        ("POST", "/api/v1/plan"),
        ("POST", "/api/v1/apply"),
        ("POST", "/api/v1/keys/rotate"),
    ];
    for (method, target) in changes {
        for origin in
            ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"]
        {
            let refused = ask(&host, method, target, &format!("Host: localhost:9090\r\n{JSON}{origin}\r\n"));
            assert_eq!(code(&refused, 403), "cross_origin", "{method} {target} {origin}");
        }
        if method != "DELETE" {
            for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
                let refused = ask(&host, method, target, &format!("Host: localhost:9090\r\n{kind}"));
                assert_eq!(code(&refused, 415), "media_type", "{method} {target} {kind}");
            }
        }
    }
    assert_eq!((host.generation(), host.names().len()), (1, 2), "nothing has changed");
    assert_eq!(host.listed("app-1")["state"], "active");

    let ours = "Host: localhost:9090\r\nOrigin: http://localhost:9090\r\nSec-Fetch-Site: same-origin\r\n";
    json(&ask(&host, "POST", DRAIN, &format!("{ours}{JSON}")), 200);
    json(&ask(&host, "DELETE", "/api/v1/upstreams/app-2", ours), 200);
}

#[test]
fn no_answer_shares_anything_with_other_origins() {
    let host = Host::start(&Upstream::several(1));
    let origin = "Host: localhost\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: PUT\r\n";
    for (method, target) in
        [("GET", "/api/v1/upstreams"), ("OPTIONS", DRAIN), ("POST", DRAIN), ("GET", "/metrics"), ("GET", "/x")]
    {
        let answer = ask(&host, method, target, origin);
        let fields = answer.head.fields();
        assert!(!fields.iter().any(|(name, _)| name.to_lowercase().starts_with("access-control-")), "{answer:?}");
        assert_eq!(answer.head.one("cache-control").as_deref(), Some("no-store"));
        assert_eq!(answer.head.one("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(answer.head.one("cross-origin-resource-policy").as_deref(), Some("same-origin"));
    }
}

#[test]
fn bodies_are_bounded() {
    let host = Host::start(&Upstream::several(1));
    let mut wire = connect(host.admin);
    let head = format!("POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 1048577\r\n\r\n");
    assert_eq!(code(&wire.exchange(head), 413), "too_large", "by what it says of itself");

    let mut wire = connect(host.admin);
    let head = format!("POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n");
    wire.send(head).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    // The server may close before everything was sent.
    (0..17).for_each(|_| drop(wire.send(&chunk)));
    assert_eq!(code(&wire.response("POST"), 413), "too_large", "by what comes");
    assert!(host.get(&format!("/{}", "x".repeat(100_000))).status() >= 400, "nor does a head go on for ever");
}
