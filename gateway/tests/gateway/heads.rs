//! Heads of requests: in pieces, pipelined, of an older version, or so that two servers could parse
//! them differently.

use std::io::{Read, Write};

use crate::failover::assert_reason;
use crate::support::client::{connect, exchange, get, post, request};
use crate::support::gateway::Gateway;
use crate::support::head::Framing;
use crate::support::upstream::Upstream;

/// With one worker, which polls sockets in turn: what was sent before an exchange has been read at its end.
fn one_worker(upstream: &Upstream) -> Gateway {
    Gateway::start("workers = 1", &[upstream])
}

/// Sends `bytes` in two pieces that are read separately, on one connection for each place to cut.
fn cut_anywhere(gateway: &Gateway, bytes: &[u8], mut judge: impl FnMut(usize, Vec<u8>)) {
    for cut in 1..bytes.len() {
        let mut wire = connect(gateway.address());
        wire.send(&bytes[..cut]).expect("send");
        assert_eq!(get(gateway.address(), "/between").status(), 200);
        wire.send(&bytes[cut..]).expect("send");
        judge(cut, wire.rest().expect("what comes"));
    }
}

#[test]
fn a_head_may_be_cut_anywhere() {
    let upstream = Upstream::start("app-1", |exchange| {
        let body = exchange.body()?.text();
        exchange.ok(&body)
    });
    let gateway = one_worker(&upstream);
    let whole = post("/cut", "X-Y: z\r\nConnection: close\r\n", "hello");
    cut_anywhere(&gateway, whole.as_bytes(), |cut, answer| {
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhello"), "cut at {cut}: {answer}");
        assert_eq!(
            upstream.seen().iter().rfind(|seen| seen.head.target() == "/cut").expect("it").head.all("x-y"),
            ["z"]
        );
    });
}

#[test]
fn a_bad_head_may_be_cut_anywhere() {
    let upstream = Upstream::named("app-1");
    let gateway = one_worker(&upstream);
    cut_anywhere(&gateway, b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", |cut, answer| {
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "cut at {cut}: {}", answer.escape_ascii());
    });
}

/// HTTP/2's preface, with an empty SETTINGS frame.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn http_2_by_prior_knowledge_may_be_cut_anywhere() {
    let upstream = Upstream::named("app-1");
    let gateway = one_worker(&upstream);
    for cut in 1..HTTP2.len() {
        let mut wire = connect(gateway.address());
        wire.send(&HTTP2[..cut]).expect("send");
        assert_eq!(get(gateway.address(), "/between").status(), 200);
        wire.send(&HTTP2[cut..]).expect("send");
        let mut frame = [0; 9];
        wire.read_exact(&mut frame).expect("a frame");
        assert_eq!((frame[3], frame[4]), (4, 0), "settings, cut at {cut}");
    }
}

#[test]
fn what_begins_like_http_2_may_be_http_1() {
    let upstream = Upstream::named("app-1");
    let gateway = one_worker(&upstream);
    for method in ["P", "PR", "PRI", "PRIV"] {
        assert_eq!(exchange(gateway.address(), request(method, "/", "")).status(), 200, "{method}");
        assert_eq!(upstream.last().head.method(), method);
    }
    let answer = exchange(gateway.address(), request("PRI", "*", ""));
    assert_eq!(answer.status(), 400);
}

#[test]
fn requests_in_one_piece_are_answered_in_order() {
    let upstream = Upstream::start("app-1", |exchange| {
        let text = format!("{} {}", exchange.head.target(), exchange.body()?.text());
        exchange.ok(&text)
    });
    let gateway = one_worker(&upstream);
    let chunked = request("PUT", "/c", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n";
    let all = [request("GET", "/a", ""), post("/b", "", "hello"), chunked, request("HEAD", "/d", "")];
    let mut wire = connect(gateway.address());
    for _ in 0..3 {
        wire.send(all.concat()).expect("send");
        for (method, text) in [("GET", "/a "), ("POST", "/b hello"), ("PUT", "/c abc"), ("HEAD", "")] {
            assert_eq!(wire.response(method).text(), text);
        }
    }
    // Empty lines before a request are ignored.
    wire.send(["\r\n\r\n", &request("GET", "/e", "")].concat()).expect("send");
    assert_eq!(wire.response("GET").text(), "/e ");
}

#[test]
fn a_connection_that_is_to_close_takes_no_further_request() {
    let upstream = Upstream::named("app-1");
    let gateway = one_worker(&upstream);
    let mut wire = connect(gateway.address());
    wire.send([request("GET", "/a", "Connection: close\r\n"), request("GET", "/b", "")].concat()).expect("send");
    let response = wire.response("GET");
    assert_eq!((response.status(), response.head.list("connection")), (200, vec!["close".to_owned()]));
    assert!(wire.ended());
    assert_eq!(upstream.count("/b"), 0);
}

#[test]
fn http_1_0_keeps_a_connection_where_it_asks_to() {
    let upstream = Upstream::start("app-1", |exchange| match exchange.head.target().as_str() {
        "/chunked" => exchange.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        _ => exchange.ok("app-1"),
    });
    let gateway = one_worker(&upstream);
    let old = |target: &str, fields: &str| format!("GET {target} HTTP/1.0\r\n{fields}\r\n");
    let mut wire = connect(gateway.address());
    for _ in 0..2 {
        let response = wire.exchange(old("/", "Connection: Keep-Alive\r\n"));
        assert!(response.head.start_line().starts_with("HTTP/1.0 200 "), "{:?}", response.head);
        assert_eq!(
            (response.text().as_str(), response.head.list("connection")),
            ("app-1", vec!["keep-alive".to_owned()])
        );
    }
    // A body without a length ends with the connection.
    let response = wire.exchange(old("/chunked", "Connection: keep-alive\r\n"));
    assert!(!response.head.has("transfer-encoding") && !response.head.has("content-length"), "{:?}", response.head);
    assert_eq!(response.head.of_response("GET"), Ok(Framing::UntilClose));
    assert_eq!(response.text(), "hello");

    let mut wire = connect(gateway.address());
    assert_eq!(wire.exchange(old("/", "")).text(), "app-1");
    assert!(wire.ended());
}

#[test]
fn two_readings_are_no_request() {
    let upstream = Upstream::named("app-1");
    let gateway = one_worker(&upstream);
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let mut wire = connect(gateway.address());
        // The refusal and the close may arrive before everything is sent.
        let _ = wire.write_all(format!("{head}{hidden}").as_bytes());
        let response = wire.response("POST");
        assert_eq!(response.status(), 400, "{}", head.escape_debug());
        assert_reason(&response.head.all("content-type"), &response.text());
        assert!(wire.ended(), "{}", head.escape_debug());
    }
    assert_eq!(upstream.raw(), b"");
}

#[test]
fn a_head_that_does_not_come_is_told_so() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("workers = 1\n[timeouts]\nheader = \"200ms\"", &[&upstream]);
    let mut wire = connect(gateway.address());
    assert_eq!(wire.exchange(request("GET", "/", "")).status(), 200);
    wire.send("GET / HTTP/1.1\r\nHost: app.ex").expect("send");
    let response = wire.response("GET");
    assert_eq!((response.status(), response.head.list("connection")), (408, vec!["close".to_owned()]));
    assert_reason(&response.head.all("content-type"), &response.text());
    assert!(wire.ended());
    assert_eq!(upstream.seen().len(), 1);
}
