//! Chunk extensions and trailers: what is forwarded and what is not.

use crate::support::client::{Response, exchange, request};
use crate::support::gateway::Gateway;
use crate::support::head::latin1;
use crate::support::upstream::{Seen, Upstream};

/// Sends a chunked body literally, with declared trailers; the request that the upstream got.
fn sent(body: &'static str, fields: &str) -> (Seen, Vec<u8>) {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let fields = format!("Transfer-Encoding: chunked\r\nTE: trailers\r\n{fields}");
    let response = exchange(gateway.address(), request("POST", "/", &fields) + body);
    assert_eq!(response.status(), 200, "{response:?}");
    (upstream.only(), upstream.raw())
}

/// A chunked response, literally; the response that the client got.
fn received(body: &'static str, fields: &'static str) -> Response {
    let upstream = Upstream::start("app-1", move |exchange| {
        exchange.answer(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}\r\n{body}"))
    });
    let gateway = Gateway::start("", &[&upstream]);
    exchange(gateway.address(), request("GET", "/", "TE: trailers\r\n"))
}

const EXTENDED: &str = "5;name=value\r\nhello\r\n6 ; q=\"a;b\"\r\n world\r\n0;last\r\n\r\n";

#[test]
fn a_requests_chunk_extensions_never_travel_on() {
    let (seen, raw) = sent(EXTENDED, "");
    let body = seen.body.expect("a body");
    assert_eq!((body.text().as_str(), body.whole), ("hello world", true));
    assert!(body.chunks.iter().all(|line| line.bytes().all(|byte| byte.is_ascii_hexdigit())), "{:?}", body.chunks);
    assert!(!latin1(&raw).contains("value"));
}

#[test]
fn a_responses_chunk_extensions_never_travel_on() {
    let body = received(EXTENDED, "").body;
    assert_eq!((body.text().as_str(), body.whole), ("hello world", true));
    assert!(body.chunks.iter().all(|line| line.bytes().all(|byte| byte.is_ascii_hexdigit())), "{:?}", body.chunks);
}

#[test]
fn chunk_extensions_would_be_noticed() {
    let upstream = Upstream::named("app-1");
    let request = request("POST", "/", "Transfer-Encoding: chunked\r\n") + EXTENDED;
    exchange(upstream.address, request);
    let body = upstream.only().body.expect("a body");
    assert_eq!(body.chunks, ["5;name=value", "6 ; q=\"a;b\"", "0;last"]);
    assert_eq!(body.text(), "hello world");
}

#[test]
fn a_requests_trailers_travel_on() {
    let (seen, _) = sent("5\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Odd:  a\tb \r\n\r\n", "Trailer: X-Sum, X-Odd\r\n");
    let body = seen.body.expect("a body");
    assert_eq!((body.trailer("x-sum"), body.trailer("x-odd")), (Some("42"), Some("a\tb")));
}

#[test]
fn a_responses_trailers_travel_on() {
    let body = received("5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n", "Trailer: X-Sum\r\n").body;
    assert_eq!((body.text().as_str(), body.trailer("x-sum")), ("hello", Some("42")));
}

/// Fields that frame, route or speak for the gateway: RFC 9110, 6.5.1 keeps them out of trailers.
const FRAMING: &str = "0\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\nHost: evil.example\r\nConnection: close\r\n\
    Trailer: Host\r\nTE: gzip\r\nUpgrade: chess/1\r\nKeep-Alive: 5\r\nCookie: homing=x\r\nSet-Cookie: homing=x\r\nContent-Type: a/b\r\n\
    Content-Encoding: gzip\r\nX-Forwarded-For: 203.0.113.66\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\
    Forwarded: for=203.0.113.66\r\nVia: 1.1 evil\r\nAuthorization: Basic eA==\r\nX-Sum: 42\r\n\r\n";

const DECLARED: &str = "Trailer: Content-Length, Transfer-Encoding, Host, Connection, Trailer, TE, Upgrade, Keep-Alive, Cookie, \
    Set-Cookie, Content-Type, Content-Encoding, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, Via, Authorization, X-Sum\r\n";

fn names(trailers: &[(String, String)]) -> Vec<String> {
    trailers.iter().map(|field| field.0.to_lowercase()).collect()
}

#[test]
fn a_requests_framing_in_trailers_never_travels_on() {
    let (seen, _) = sent(FRAMING, DECLARED);
    assert_eq!(seen.head.all("transfer-encoding"), ["chunked"]);
    assert_eq!(names(&seen.body.expect("a body").trailers), ["x-sum"]);
    assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn a_responses_framing_in_trailers_never_travels_on() {
    let response = received(FRAMING, DECLARED);
    assert!(response.body.whole);
    assert_eq!(names(&response.body.trailers), ["x-sum"]);
}

#[test]
fn undeclared_trailers_do_no_harm() {
    let (seen, _) = sent("5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n", "");
    assert_eq!(seen.body.expect("a body").text(), "hello");
    let body = received("5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n", "").body;
    assert_eq!((body.text().as_str(), body.whole), ("hello", true));
}
