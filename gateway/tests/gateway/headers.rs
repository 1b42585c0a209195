//! Header fields that the gateway removes, and those that it forwards unchanged.

use crate::support::client::{Response, exchange, request};
use crate::support::gateway::Gateway;
use crate::support::head::{Head, latin1};
use crate::support::upstream::Upstream;

/// The request that an upstream gets for a GET with those field lines.
fn forwarded(fields: &str) -> Head {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let response = exchange(gateway.address(), request("GET", "/", fields));
    assert_eq!(response.status(), 200, "{response:?}");
    upstream.only().head
}

/// The response that a client gets for a 200 with those field lines.
fn answered(fields: &'static str) -> Response {
    let upstream = Upstream::start("app-1", move |exchange| {
        exchange.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok"))
    });
    let gateway = Gateway::start("", &[&upstream]);
    exchange(gateway.address(), request("GET", "/", ""))
}

#[test]
fn hop_by_hop_fields_end_here() {
    let head = forwarded(
        "Connection: keep-alive, X-Private,  x-second ,,\r\nConnection: X-Third\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
         TE: gzip\r\nUpgrade: \r\nX-Private: 1\r\nX-Second: 2\r\nX-THIRD: 3\r\nX-Public: 4\r\n",
    );
    for name in ["keep-alive", "proxy-connection", "te", "upgrade", "x-private", "x-second", "x-third"] {
        assert!(!head.has(name), "{name} in {head:?}");
    }
    assert!(head.list("connection").iter().all(|option| option.eq_ignore_ascii_case("keep-alive")), "{head:?}");
    assert_eq!(head.all("x-public"), ["4"]);
}

#[test]
fn hop_by_hop_fields_of_responses_end_here() {
    let response = answered(
        "Connection: X-Private, keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nX-Private: 1\r\nX-Public: 2\r\n",
    );
    for name in ["keep-alive", "proxy-connection", "x-private"] {
        assert!(!response.head.has(name), "{name} in {:?}", response.head);
    }
    assert_eq!(response.head.all("x-public"), ["2"]);
    assert_eq!(response.text(), "ok");
}

#[test]
fn trailers_are_the_one_coding_that_te_may_name() {
    assert_eq!(forwarded("TE: trailers\r\nConnection: TE\r\n").list("te"), ["trailers"]);
    assert_eq!(forwarded("TE: gzip;q=0.5, trailers\r\nConnection: TE\r\n").list("te"), ["trailers"]);
    assert!(!forwarded("TE: deflate\r\nConnection: TE\r\n").has("te"));
}

#[test]
fn connection_cannot_name_what_must_pass() {
    let head = forwarded(
        "Connection: Host, Cookie, Content-Type, Content-Encoding, Content-Language, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, Via\r\n\
         Cookie: a=1\r\nContent-Type: text/odd\r\nContent-Encoding: x-odd\r\nContent-Language: de\r\n",
    );
    assert_eq!(head.all("host"), ["app.example"]);
    assert_eq!(head.all("cookie"), ["a=1"]);
    assert_eq!(head.all("content-type"), ["text/odd"]);
    assert_eq!(head.all("content-encoding"), ["x-odd"]);
    assert_eq!(head.all("content-language"), ["de"]);
    assert_eq!(head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(head.all("x-forwarded-host"), ["app.example"]);
    assert!(head.has("forwarded") && head.has("via"), "{head:?}");
}

#[test]
fn connection_cannot_name_the_length() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    for (fields, body) in [
        ("Connection: Content-Length\r\nContent-Length: 5\r\n", "hello"),
        ("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let response = exchange(gateway.address(), request("POST", "/", fields) + body);
        assert_eq!(response.status(), 200);
        let seen = upstream.last();
        assert_eq!((seen.whole(), seen.body.expect("a body").text().as_str()), (true, "hello"));
    }
}

#[test]
fn a_responses_connection_cannot_name_its_length_or_type() {
    let response = answered("Connection: Content-Length, Content-Type\r\nContent-Type: text/odd\r\n");
    assert_eq!(response.head.all("content-type"), ["text/odd"]);
    assert_eq!((response.text().as_str(), response.body.whole), ("ok", true));
}

#[test]
fn aliases_of_ours_are_dropped() {
    let aliases = [
        "X_Forwarded_For",
        "X-Forwarded_For",
        "x_forwarded-for",
        "x_forwarded_proto",
        "X_Forwarded_Host",
        "X_Real_IP",
        "x-real_ip",
    ];
    let fields: String = aliases.iter().map(|name| format!("{name}: 203.0.113.66\r\n")).collect();
    let head = forwarded(&format!("{fields}my_own: 1\r\n"));
    for name in aliases {
        assert!(!head.has(name), "{name} in {head:?}");
    }
    assert!(!latin1(head.bytes()).contains("203.0.113.66"), "{head:?}");
    assert_eq!(head.all("my_own"), ["1"]);
}

#[test]
fn other_fields_pass_as_they_are() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let fields = b"X-Odd: \x80\xfe\xff \"quoted, \\\" and\ttabbed\"\r\nX-Empty:\r\nX-Many: 1\r\nx-many: 2\r\nX-MANY: 3, 4\r\nAccept: */*\r\n\
        Authorization: Bearer abc\r\nUser-Agent: odd/1 (x; y)\r\nOrigin: null\r\nX-Spaced:  in   between  \r\n";
    let bytes = [b"GET / HTTP/1.1\r\nHost: app.example\r\n", &fields[..], b"\r\n"].concat();
    assert_eq!(exchange(gateway.address(), bytes).status(), 200);
    let head = upstream.only().head;
    assert_eq!(head.all("x-odd"), [latin1(b"\x80\xfe\xff \"quoted, \\\" and\ttabbed\"")]);
    assert_eq!(head.all("x-empty"), [""]);
    assert_eq!(head.all("x-many"), ["1", "2", "3, 4"]);
    assert_eq!(head.all("accept"), ["*/*"]);
    assert_eq!(head.all("authorization"), ["Bearer abc"]);
    assert_eq!(head.all("user-agent"), ["odd/1 (x; y)"]);
    assert_eq!(head.all("origin"), ["null"]);
    assert_eq!(head.all("x-spaced"), ["in   between"]);
}

#[test]
fn nothing_is_made_up() {
    let names: Vec<_> = forwarded("Accept: */*\r\n").fields().into_iter().map(|field| field.0.to_lowercase()).collect();
    let known = [
        "host",
        "accept",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "via",
        "connection",
    ];
    for name in &names {
        assert!(known.contains(&name.as_str()), "{names:?}");
    }
}

#[test]
fn a_responses_fields_pass_as_they_are() {
    let response = answered(
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: odd/1\r\nX-Many: 1\r\nX-Many: 2\r\nCache-Control: no-store\r\nX-Odd: \u{80}\r\nLocation: /x?y\r\n",
    );
    assert_eq!(response.head.all("date"), ["Sun, 06 Nov 1994 08:49:37 GMT"]);
    assert_eq!(response.head.all("server"), ["odd/1"]);
    assert_eq!(response.head.all("x-many"), ["1", "2"]);
    assert_eq!(response.head.all("cache-control"), ["no-store"]);
    assert_eq!(response.head.all("location"), ["/x?y"]);
    assert_eq!(response.head.all("content-length"), ["2"]);
}

#[test]
fn the_status_passes_with_any_number() {
    for line in ["200 OK", "299 Odd", "404 Not Found", "451 Unavailable For Legal Reasons", "599 Odd", "200 "] {
        let upstream = Upstream::start("app-1", move |exchange| {
            exchange.answer(format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nok"))
        });
        let gateway = Gateway::start("", &[&upstream]);
        let response = exchange(gateway.address(), request("GET", "/", ""));
        assert_eq!((response.status().to_string().as_str(), response.text().as_str()), (&line[..3], "ok"));
    }
}
