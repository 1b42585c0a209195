//! Requests that a proxy must refuse: the status, the reason, and no trace at the upstream.

use std::panic::AssertUnwindSafe;

use crate::failover::assert_reason;
use crate::support::client::{connect, exchange, request};
use crate::support::gateway::Gateway;
use crate::support::head::latin1;
use crate::support::upstream::Upstream;

/// A gateway in front of one upstream, and the failures so far.
struct Refusals {
    upstream: Upstream,
    gateway: Gateway,
    faults: Vec<String>,
}

fn valid_request() -> String {
    request("GET", "/in-order", "")
}

impl Refusals {
    fn new() -> Self {
        let upstream = Upstream::named("app-1");
        let gateway = Gateway::start("", &[&upstream]);
        Self { upstream, gateway, faults: Vec::new() }
    }

    /// Sends the bytes; the first response has to be a refusal with one of `statuses` and its reason.
    fn refuses(&mut self, request: impl AsRef<[u8]>, statuses: &[u16]) {
        let shown: String = latin1(request.as_ref()).escape_debug().take(120).collect();
        let attempt = AssertUnwindSafe(|| self.attempt(request.as_ref(), statuses));
        if std::panic::catch_unwind(attempt).is_err() {
            self.fault(shown);
        }
    }

    /// Records the failure, and empties the log.
    fn fault(&mut self, fault: String) {
        let mut faults = std::mem::take(&mut self.faults);
        faults.push(fault);
        *self = Self { faults, ..Self::new() };
    }

    fn attempt(&self, request: &[u8], statuses: &[u16]) {
        let mut wire = connect(self.gateway.address());
        // The refusal and the close may arrive before everything is sent.
        let _ = wire.send(request);
        let response = wire.response("GET");
        if response.head.list("connection").contains(&"close".to_owned()) {
            let rest = wire.rest().expect("read up to the end");
            assert!(rest.is_empty(), "{:?} follows {:?}", latin1(&rest), response.head);
        } else {
            // A smuggled request would have been served before, and be in the log by now.
            assert_eq!(wire.exchange(valid_request()).text(), "app-1");
        }
        // A valid request gets through, so the log would show an invalid one.
        assert_eq!(exchange(self.gateway.address(), valid_request()).text(), "app-1");
        let seen = self.upstream.seen();
        assert!(seen.iter().all(|seen| seen.head.target() == "/in-order"), "{seen:?}");
        assert!(statuses.contains(&response.status()), "{:?}, not {statuses:?}", response.head);
        assert_reason(&response.head.all("content-type"), &response.text());
    }

    fn end(self) {
        assert!(
            self.faults.is_empty(),
            "{} are not refused as they should:\n{}",
            self.faults.len(),
            self.faults.join("\n")
        );
    }
}

#[test]
fn a_request_that_passes_would_be_noticed() {
    let mut refusals = Refusals::new();
    refusals.refuses(request("GET", "/smuggled", "Connection: close\r\n"), &[400]);
    assert_eq!(refusals.faults.len(), 1);
}

#[test]
fn hosts() {
    let mut refusals = Refusals::new();
    refusals.refuses("GET / HTTP/1.1\r\n\r\n", &[400]);
    refusals.refuses("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", &[400]);
    for hosts in ["a\r\nHost: a", "a\r\nHost: b", "a\r\nX: y\r\nhOST: a", "a, b"] {
        refusals.refuses(format!("GET / HTTP/1.1\r\nHost: {hosts}\r\n\r\n"), &[400]);
    }
    for host in [
        "a b",
        "a/b",
        "a@b",
        "user:pass@a",
        "a\\b",
        "a?b",
        "a#b",
        "a\tb",
        "<a>",
        "a\"b",
        "[::1",
        "::1",
        "a:b",
        "a:80:80",
    ] {
        refusals.refuses(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[400]);
    }
    refusals.refuses(b"GET / HTTP/1.1\r\nHost: a\x80b\r\n\r\n", &[400]);
    refusals.refuses(b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n", &[400]);
    refusals.end();
}

#[test]
fn valid_hosts_pass() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    for host in [
        "a",
        "a.example",
        "a.example:8080",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:8080",
        "xn--bcher-kva.example",
        "a_b",
        "A.Example",
    ] {
        let response = connect(gateway.address()).exchange(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(response.status(), 200, "{host}");
        assert_eq!(upstream.last().head.all("host"), [host]);
    }
}

/// Bytes that a wrong parse of the framing takes for a request.
const SMUGGLED: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n";

#[test]
fn transfer_codings() {
    let mut refusals = Refusals::new();
    for fields in [
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding:",
        "Transfer-Encoding: \u{b}chunked",
    ] {
        refusals.refuses(format!("POST / HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n\r\n{SMUGGLED}"), &[400, 501]);
    }
    refusals.refuses(
        format!("POST / HTTP/1.0\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n{SMUGGLED}"),
        &[400],
    );
    refusals.end();
}

#[test]
fn a_length_beside_a_coding_smuggles_nothing() {
    // RFC 9112, 6.1: refused, or taken by its coding alone on a connection that ends with it.
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
    ] {
        let mut wire = connect(gateway.address());
        let response = wire.exchange(format!("POST / HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n\r\n{SMUGGLED}"));
        assert!(wire.ended(), "after {fields:?}");
        if response.status() != 400 {
            let seen = upstream.last();
            assert!(seen.whole() && seen.head.has("transfer-encoding") && !seen.head.has("content-length"), "{seen:?}");
        }
        assert_eq!(upstream.count("/smuggled"), 0, "after {fields:?}");
    }
}

#[test]
fn lengths() {
    let mut refusals = Refusals::new();
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 5a",
        "Content-Length: 5.0",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999999999999",
    ] {
        refusals.refuses(format!("POST / HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n\r\n{SMUGGLED}"), &[400]);
    }
    refusals.end();
}

#[test]
fn targets() {
    let mut refusals = Refusals::new();
    refusals.refuses(request("GET", "*", ""), &[400]);
    refusals.refuses(request("POST", "*", "Content-Length: 0\r\n"), &[400]);
    refusals.refuses(request("CONNECT", "app.example:443", ""), &[400, 405, 501]);
    refusals.refuses(request("CONNECT", "/", ""), &[400, 405, 501]);
    for target in ["app.example/x", "app.example:80", "x", "http://", "http:///x", "file:///etc/passwd", "http://a b/"]
    {
        refusals.refuses(request("GET", target, ""), &[400]);
    }
    refusals.end();
}

#[test]
fn request_lines() {
    let mut refusals = Refusals::new();
    for line in [
        "GET",
        "GET /",
        "GET /a b HTTP/1.1",
        "GET  /  HTTP/1.1",
        " GET / HTTP/1.1",
        "G@T / HTTP/1.1",
        "G\u{0}T / HTTP/1.1",
        "GET /\u{0} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET / HTTP/1.1 more",
        "GET / http/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/9.9",
        "GET / HTTP/1.",
        "GET / HTTP/1.1.1",
        "GET / HTTQ/1.1",
        "GET / ICAP/1.0",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
    ] {
        refusals.refuses(format!("{line}\r\nHost: app.example\r\n\r\n"), &[400, 505]);
    }
    refusals.end();
}

#[test]
fn field_lines() {
    let mut refusals = Refusals::new();
    for line in [
        "X(y): 1",
        "X Y: 1",
        "X\u{0}: 1",
        "X: a\u{0}b",
        "X: a\u{1}b",
        "X: a\u{7f}b",
        "X: a\rb",
        "X: a\r",
        ": empty",
        "no colon",
        "X : 1",
        "X\t: 1",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        "X: 1\r\n folded",
        "X: 1\r\n\tfolded",
        " X: 1",
        "\u{e4}: 1",
        "X: 1\n\rY: 2",
    ] {
        refusals.refuses(request("GET", "/", &format!("{line}\r\n")), &[400]);
    }
    refusals.refuses("GET / HTTP/1.1\r\n Host: app.example\r\n\r\n", &[400]);
    refusals.end();
}

#[test]
fn sizes() {
    let mut refusals = Refusals::new();
    let long = "x".repeat(1 << 20);
    refusals.refuses(request("GET", "/", &format!("X: {long}\r\n")), &[431]);
    refusals.refuses(request("GET", "/", &format!("{long}: x\r\n")), &[431]);
    refusals.refuses(request("GET", "/", &"X: y\r\n".repeat(20_000)), &[431]);
    refusals.refuses(request("GET", &format!("/{}", &long[..100_000]), ""), &[414]);
    // So long that the head exceeds its limit too.
    refusals.refuses(request("GET", &format!("/{long}"), ""), &[414, 431]);
    refusals.end();
}

#[test]
fn chunks() {
    let mut refusals = Refusals::new();
    for body in [
        "zz\r\nhello\r\n",
        "-1\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "\r\nhello\r\n",
        "5 5\r\nhello\r\n",
        ";name=value\r\nhello\r\n",
        "fffffffffffffffff\r\nhello\r\n",
        "10000000000000005\r\nhello\r\n",
        "5\r\nhelloXX",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
        "5;a=\rb\r\nhello\r\n",
        "5\nhello\n0\n\n",
    ] {
        // The upstream may have its beginning: then it must neither be completed there nor followed by another.
        let bytes = request("POST", "/", "Transfer-Encoding: chunked\r\n") + body + SMUGGLED;
        let mut wire = connect(refusals.gateway.address());
        let _ = wire.send(&bytes);
        let answered = wire.head().ok().flatten().map(|head| head.status());
        drop(wire);
        exchange(refusals.gateway.address(), valid_request());
        let whole = refusals.upstream.seen().into_iter().filter(|seen| seen.whole());
        let passed: Vec<_> = whole.filter(|seen| seen.head.target() != "/in-order").collect();
        if !passed.is_empty() || !matches!(answered, None | Some(400)) {
            refusals.fault(format!("{body:?}: answered {answered:?}, upstream {passed:?}"));
        }
    }
    refusals.end();
}

#[test]
fn http_0_9_is_not_spoken() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send("GET /\r\n\r\n").expect("send");
    let answer = latin1(&wire.rest().expect("what comes"));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert_eq!(upstream.raw(), b"");
}

#[test]
fn h2c_upgrades_are_stripped() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.ok(if exchange.head.has("upgrade") { "upgrade" } else { "plain" })
    });
    let gateway = Gateway::start("", &[&upstream]);
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Connection: upgrade\r\nUpgrade: H2C\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: h2c\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    ] {
        let response = connect(gateway.address()).exchange(request("GET", "/", fields));
        assert_eq!(response.status(), 200, "{fields:?}");
        let head = upstream.last().head;
        let asked: Vec<_> = head.list("upgrade").iter().map(|it| it.to_lowercase()).collect();
        assert!(!asked.contains(&"h2c".to_owned()) && !head.has("http2-settings"), "{head:?}");
    }
}
