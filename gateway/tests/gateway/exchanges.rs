//! Exchanges that are not one request, one response, each with its body.

use std::io::ErrorKind;
use std::sync::{Mutex, mpsc};

use crate::support::GUARD;
use crate::support::client::{connect, get, request};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Next, Upstream};

#[test]
fn a_client_that_expects_100_is_told_to_go_on() {
    // The upstream answers with a 100 of its own, as RFC 9110, 10.1.1 has it, or leaves it out.
    for by_itself in [true, false] {
        let upstream = Upstream::start("app-1", move |exchange| {
            if by_itself && exchange.head.has("expect") {
                exchange.send("HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let text = exchange.body()?.text();
            exchange.ok(&text)
        });
        let gateway = Gateway::start("", &[&upstream]);
        let mut wire = connect(gateway.address());
        wire.send(request("POST", "/", "Expect: 100-continue\r\nContent-Length: 5\r\n")).expect("send");
        let interim = wire.head().expect("read a head").expect("a response");
        assert_eq!(interim.status(), 100);
        wire.send("hello").expect("send");
        let response = wire.response("POST");
        assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
        assert!(response.interim.len() < 2 && upstream.only().whole());
    }
}

#[test]
fn an_expectation_may_be_refused() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.send("HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("POST", "/", "Expect: 100-continue\r\nContent-Length: 5\r\n")).expect("send");
    let response = wire.response("POST");
    assert_eq!((response.status(), response.text().as_str()), (417, "no"));
}

#[test]
fn an_early_response_arrives_with_the_request_unread() {
    for ending in [Next::Close, Next::Request] {
        let upstream = Upstream::start("app-1", move |exchange| {
            if exchange.head.target() == "/next" {
                return exchange.ok("next");
            }
            let connection = if ending == Next::Close { "Connection: close\r\n" } else { "" };
            exchange.send(format!("HTTP/1.1 413 Content Too Large\r\n{connection}Content-Length: 5\r\n\r\nlarge"))?;
            Ok(ending)
        });
        let gateway = Gateway::start("", &[&upstream]);
        // An upstream that closes may be noticed by a failing write before its response is read: a race.
        for _ in 0..10 {
            let mut wire = connect(gateway.address());
            // The client sends a part and waits: only the early response can wake it.
            wire.send(request("POST", "/", "Content-Length: 10000000\r\n")).expect("send");
            wire.send(vec![b'x'; 100_000]).expect("send");
            let response = wire.response("POST");
            assert_eq!((response.status(), response.text().as_str()), (413, "large"));
            drop(wire);
            assert_eq!(get(gateway.address(), "/next").text(), "next");
        }
    }
}

#[test]
fn an_early_response_may_be_longer_than_the_wait_for_its_request() {
    // Both directions at once: the response begins before the request ends, and ends after it.
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")?;
        let text = exchange.body()?.text();
        exchange.send(format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len()))?;
        Ok(Next::Request)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("POST", "/", "Content-Length: 5\r\n")).expect("send");
    let (_, head) = wire.response_head();
    assert_eq!(head.status(), 200);
    wire.send(" late").expect("send");
    let body = wire.body(head.of_response("POST").expect("a framing")).expect("the body");
    assert_eq!((body.text().as_str(), body.whole), ("early late", true));
}

#[test]
fn responses_without_a_body_have_none() {
    for (method, head, length) in [
        ("HEAD", "200 OK\r\nContent-Length: 1234", Some("1234")),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", None),
        ("HEAD", "200 OK", None),
        ("GET", "204 No Content", None),
        ("DELETE", "204 No Content", None),
        // A 304 may leave its length out (RFC 9110, 15.4.5).
        ("GET", "304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1234", None),
        ("GET", "304 Not Modified\r\nETag: \"x\"", None),
        ("GET", "200 OK\r\nContent-Length: 0", Some("0")),
    ] {
        let upstream = Upstream::start("app-1", move |exchange| match exchange.head.target().as_str() {
            "/next" => exchange.ok("next"),
            _ => exchange.answer(format!("HTTP/1.1 {head}\r\n\r\n")),
        });
        let gateway = Gateway::start("workers = 1", &[&upstream]);
        let mut wire = connect(gateway.address());
        let response = wire.exchange(request(method, "/", ""));
        assert_eq!(response.status().to_string(), head[..3], "{method} {head:?}");
        assert_eq!(response.body.data, b"");
        if let Some(length) = length {
            assert_eq!(response.head.one("content-length").as_deref(), Some(length), "{method} {head:?}");
        } else if response.status() == 204 {
            assert!(!response.head.has("content-length") && !response.head.has("transfer-encoding"));
        }
        // A byte too many or too few would show here.
        assert_eq!(wire.exchange(request("GET", "/next", "")).text(), "next", "after {method} {head:?}");
    }
}

#[test]
fn requests_without_a_body_have_none() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        connect(gateway.address()).exchange(request(method, "/", ""));
        let head = upstream.last().head;
        assert_eq!(head.method(), method);
        assert!(!head.has("transfer-encoding") && !head.has("content-length"), "{head:?}");
    }
    for method in ["GET", "DELETE", "POST", "PUT"] {
        connect(gateway.address()).exchange(request(method, "/", "Content-Length: 2\r\n") + "ab");
        assert_eq!(upstream.last().body.expect("a body").text(), "ab", "{method}");
    }
    connect(gateway.address()).exchange(request("POST", "/", "Content-Length: 0\r\n"));
    assert_eq!(upstream.last().head.one("content-length").as_deref(), Some("0"));
}

#[test]
fn interim_responses_are_not_the_answer() {
    for interim in [
        "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n",
    ] {
        let upstream = Upstream::start("app-1", move |exchange| {
            exchange.send(interim)?;
            exchange.ok("final")
        });
        let gateway = Gateway::start("workers = 1", &[&upstream]);
        let mut wire = connect(gateway.address());
        for _ in 0..2 {
            let response = wire.exchange(request("GET", "/", ""));
            assert_eq!((response.status(), response.text().as_str()), (200, "final"), "after {interim:?}");
            // They may be forwarded or dropped, but never invented.
            for head in response.interim {
                assert!(interim.contains(&head.start_line()), "{head:?}");
            }
        }
    }
}

#[test]
fn an_interim_response_does_not_wait_for_the_final_one() {
    let (seen, was_seen) = mpsc::channel::<()>();
    let was_seen = Mutex::new(was_seen);
    let upstream = Upstream::start("app-1", move |exchange| {
        // The client has sent only the head so far, and sends the rest on the gateway's 100.
        exchange.body()?;
        was_seen.lock().expect("lock").recv_timeout(GUARD).map_err(|_| ErrorKind::TimedOut)?;
        exchange.ok("final")
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("PUT", "/", "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n")).expect("send");
    assert_eq!(wire.head().expect("read a head").expect("a response").status(), 100);
    seen.send(()).expect("tell the upstream");
    wire.send("1\r\na\r\n0\r\n\r\n").expect("send");
    assert_eq!(wire.response("PUT").text(), "final");
}
