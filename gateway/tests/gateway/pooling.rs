//! Connections to upstreams are kept and reused, and responses are never mixed up.

use crate::support::client::{connect, exchange, get, request};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Next, Upstream};

fn connections(upstream: &Upstream) -> usize {
    upstream.seen().iter().map(|seen| seen.connection).max().map_or(0, |last| last + 1)
}

#[test]
fn one_connection_serves_many_clients_in_turn() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("workers = 1", &[&upstream]);
    let mut wire = connect(gateway.address());
    for _ in 0..50 {
        assert_eq!(wire.exchange(request("GET", "/", "")).status(), 200);
    }
    assert_eq!(connections(&upstream), 1);
    for _ in 0..50 {
        assert_eq!(get(gateway.address(), "/").status(), 200);
    }
    // A new request may be faster than the return of the connection to the pool.
    assert!(connections(&upstream) < 25, "{}", connections(&upstream));
}

#[test]
fn a_clients_close_ends_no_pooled_connection() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("workers = 1", &[&upstream]);
    for _ in 0..50 {
        let mut wire = connect(gateway.address());
        let response = wire.exchange(request("GET", "/", "Connection: close\r\n"));
        assert_eq!(response.head.list("connection"), ["close"]);
        assert!(wire.ended());
        assert!(!upstream.last().head.list("connection").contains(&"close".to_owned()));
    }
    assert!(connections(&upstream) < 25, "{}", connections(&upstream));
}

#[test]
fn an_upstreams_close_ends_no_clients_connection() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("workers = 1", &[&upstream]);
    let mut wire = connect(gateway.address());
    for _ in 0..20 {
        let response = wire.exchange(request("GET", "/", ""));
        assert_eq!(response.text(), "ok");
        assert_eq!(response.head.list("connection"), [""; 0]);
    }
    assert_eq!(connections(&upstream), 20);
}

#[test]
fn trailers_end_a_response_as_well() {
    for fields in ["", "Connection: TE\r\nTE: trailers\r\n"] {
        let upstream = Upstream::start("app-1", |exchange| {
            exchange.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n")
        });
        let gateway = Gateway::start("workers = 1", &[&upstream]);
        let mut wire = connect(gateway.address());
        for _ in 0..5 {
            assert_eq!(wire.exchange(request("GET", "/", fields)).text(), "ok");
        }
        assert_eq!(connections(&upstream), 1, "with {fields:?}");
    }
}

#[test]
fn bytes_after_a_response_poison_its_connection() {
    // The surplus would be the response to the next request on that connection.
    let upstream = Upstream::start("app-1", |exchange| {
        let target = exchange.head.target();
        let length = target.len();
        exchange.answer(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
        ))
    });
    let gateway = Gateway::start("workers = 1", &[&upstream]);
    for number in 0..20 {
        let target = format!("/{number}");
        let response = get(gateway.address(), &target);
        assert!(response.text() == target || response.status() == 502, "{response:?} to {target}");
    }
}

#[test]
fn a_response_is_not_mistaken_for_the_next_ones() {
    // A client that leaves before its response: no other client may get it.
    let upstream = Upstream::start("app-1", |exchange| {
        let target = exchange.head.target();
        exchange.ok(&target)
    });
    let gateway = Gateway::start("workers = 1", &[&upstream]);
    for number in 0..50 {
        connect(gateway.address()).send(request("GET", &format!("/left/{number}"), "")).expect("send");
        let target = format!("/stayed/{number}");
        assert_eq!(get(gateway.address(), &target).text(), target);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start("app-1", |exchange| {
        let target = exchange.head.target();
        exchange.ok(&target)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    let all: String = (0..10).map(|number| request("GET", &format!("/{number}"), "")).collect();
    wire.send(all).expect("send");
    for number in 0..10 {
        assert_eq!(wire.response("GET").text(), format!("/{number}"));
    }
}

#[test]
fn http_1_0_clients_are_served_and_closed() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
    });
    let gateway = Gateway::start("", &[&upstream]);
    let response = exchange(gateway.address(), "GET / HTTP/1.0\r\nHost: app.example\r\n\r\n");
    assert!(!response.head.has("transfer-encoding"), "{response:?}");
    assert_eq!(response.text(), "hello world");
    assert_eq!(upstream.only().head.start_line(), "GET / HTTP/1.1");
}

#[test]
fn http_1_0_keep_alive_is_by_request() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    for _ in 0..3 {
        let response = wire.exchange("GET / HTTP/1.0\r\nHost: app.example\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.text(), "app-1");
        assert_eq!(response.head.list("connection"), ["keep-alive"]);
    }
    assert_eq!(wire.exchange("GET / HTTP/1.0\r\nHost: app.example\r\n\r\n").text(), "app-1");
    assert!(wire.ended());
}

#[test]
fn an_http_1_0_upstreams_body_ends_with_its_connection() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.answer("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold but whole")?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    for _ in 0..3 {
        let response = get(gateway.address(), "/");
        assert_eq!((response.text().as_str(), response.body.whole), ("old but whole", true));
    }
}
