//! Retries: judged by how often the upstreams have seen a request.

use std::io::ErrorKind;

use crate::failover::assert_reason;
use crate::support::client::{connect, exchange, get, post, request};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Next, Upstream};
use crate::support::visitor::Visitor;

/// The number of requests with that target at all upstreams, complete or not.
fn deliveries(upstreams: &[&Upstream], target: &str) -> usize {
    upstreams.iter().map(|upstream| upstream.count(target)).sum()
}

/// Reads every request and closes without a response.
fn mute(name: &str) -> Upstream {
    Upstream::start(name, |exchange| {
        exchange.body()?;
        Ok(Next::Close)
    })
}

const IN_TURN: &str = "[policy]\nname = \"round_robin\"";

#[test]
fn a_second_delivery_is_noticed() {
    let upstreams = Upstream::several(2);
    let gateway = Gateway::start(IN_TURN, &[&upstreams[0], &upstreams[1]]);
    for _ in 0..2 {
        exchange(gateway.address(), post("/order", "", "one"));
    }
    assert_eq!(deliveries(&[&upstreams[0], &upstreams[1]], "/order"), 2);
}

#[test]
fn a_post_to_a_refused_connection_is_delivered_once_elsewhere() {
    let mut dead = Upstream::named("dead");
    let alive = Upstream::named("alive");
    let gateway = Gateway::start(IN_TURN, &[&dead, &alive]);
    dead.stop();
    let large = "0123456789abcdef".repeat(64 * 1024);
    for number in 0..6 {
        let target = format!("/order/{number}");
        let response = exchange(gateway.address(), post(&target, "", &large));
        assert_eq!((response.status(), response.text().as_str()), (200, "alive"));
        assert_eq!(alive.count(&target), 1);
        let body = alive.last().body.expect("a body");
        assert!(body.whole && body.data == large.as_bytes());
    }
}

#[test]
fn a_chunked_post_to_a_refused_connection_is_delivered_once_elsewhere() {
    let mut dead = Upstream::named("dead");
    let alive = Upstream::named("alive");
    let gateway = Gateway::start(IN_TURN, &[&dead, &alive]);
    dead.stop();
    for _ in 0..4 {
        let chunked = request("POST", "/order", "Transfer-Encoding: chunked\r\n");
        let response = exchange(gateway.address(), format!("{chunked}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"));
        assert_eq!(response.text(), "alive");
        let seen = alive.last();
        assert_eq!((seen.whole(), seen.body.expect("a body").text().as_str()), (true, "hello world"));
    }
    assert_eq!(alive.count("/order"), 4);
}

#[test]
fn a_pinned_post_moves_where_nothing_was_sent() {
    let mut upstreams = Upstream::several(2);
    let gateway = Gateway::start(IN_TURN, &[&upstreams[0], &upstreams[1]]);
    let mut visitor = Visitor::new(gateway.address(), "pinned");
    assert_eq!(visitor.visit().text(), "app-1");
    upstreams[0].stop();
    let response = exchange(gateway.address(), post("/order", &visitor.fields(), "one"));
    assert_eq!(response.text(), "app-2");
    assert_eq!(deliveries(&[&upstreams[0], &upstreams[1]], "/order"), 1);
    visitor.keep(&response.head);
    assert_eq!((visitor.given, visitor.visit().text().as_str()), (2, "app-2"));
}

#[test]
fn a_post_that_may_have_arrived_is_never_sent_twice() {
    let upstreams = [mute("mute-1"), mute("mute-2"), mute("mute-3")];
    let upstreams: Vec<_> = upstreams.iter().collect();
    let gateway = Gateway::start(IN_TURN, &upstreams);
    for number in 0..6 {
        let target = format!("/order/{number}");
        let response = exchange(gateway.address(), post(&target, "", "one"));
        assert_eq!(response.status(), 502);
        assert_reason(&response.head.all("content-type"), &response.text());
        assert_eq!(deliveries(&upstreams, &target), 1);
    }
}

#[test]
fn no_method_that_is_not_idempotent_is_sent_twice() {
    let upstreams = [mute("mute-1"), mute("mute-2")];
    let upstreams: Vec<_> = upstreams.iter().collect();
    let gateway = Gateway::start(IN_TURN, &upstreams);
    for method in ["PATCH", "POST", "LOCK", "FROBNICATE"] {
        let target = format!("/{method}");
        let bytes = request(method, &target, "Content-Length: 3\r\n") + "one";
        assert_eq!(exchange(gateway.address(), bytes).status(), 502, "{method}");
        assert_eq!(deliveries(&upstreams, &target), 1, "{method}");
    }
}

#[test]
fn a_post_on_a_stale_connection_is_never_sent_twice() {
    let stale = Upstream::start("stale", |exchange| {
        if exchange.before == 0 {
            return exchange.ok("fresh");
        }
        exchange.body()?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("workers = 1", &[&stale]);
    assert_eq!(get(gateway.address(), "/").status(), 200);
    assert_eq!(exchange(gateway.address(), post("/order", "", "one")).status(), 502);
    assert_eq!(stale.count("/order"), 1);
    assert_eq!(stale.last().connection, 0, "the connection was not kept: this proves nothing");
}

#[test]
fn a_get_on_a_stale_connection_is_sent_again_to_the_same_upstream() {
    let stale = |name: &str| {
        let body = name.to_owned();
        Upstream::start(name, move |exchange| match exchange.before {
            0 => exchange.ok(&body),
            _ => Ok(Next::Close),
        })
    };
    let upstreams = [stale("stale-1"), stale("stale-2")];
    let gateway = Gateway::start(&format!("workers = 1\n{IN_TURN}"), &[&upstreams[0], &upstreams[1]]);
    let mut visitor = Visitor::new(gateway.address(), "pinned");
    for _ in 0..10 {
        let response = visitor.visit();
        assert_eq!((response.status(), response.text().as_str()), (200, "stale-1"), "{response:?}");
    }
    assert_eq!(visitor.given, 1);
    assert!(upstreams[0].seen().len() > 10, "no connection was kept: this proves nothing");
    assert_eq!(upstreams[1].seen().len(), 0);
}

#[test]
fn connections_that_end_between_requests_cost_no_client_its_response() {
    // Announces keep-alive and closes: the gateway may send into the race.
    let upstream = Upstream::start("hasty", |exchange| {
        exchange.ok("done")?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("workers = 1", &[&upstream]);
    let mut wire = connect(gateway.address());
    for number in 0..100 {
        assert_eq!(wire.exchange(request("GET", "/", "")).text(), "done");
        let target = format!("/order/{number}");
        let status = wire.exchange(post(&target, "", "one")).status();
        assert!([200, 502].contains(&status), "{status}");
        assert!(upstream.count(&target) <= 1);
        assert!(status != 200 || upstream.count(&target) == 1);
    }
}

#[test]
fn a_get_is_tried_at_most_twice() {
    let upstreams = [mute("mute-1"), mute("mute-2"), mute("mute-3")];
    let upstreams: Vec<_> = upstreams.iter().collect();
    let gateway = Gateway::start(IN_TURN, &upstreams);
    let response = get(gateway.address(), "/page");
    assert_eq!(response.status(), 502);
    assert_reason(&response.head.all("content-type"), &response.text());
    assert!((1..=2).contains(&deliveries(&upstreams, "/page")));
}

#[test]
fn what_has_begun_to_answer_is_not_asked_again() {
    for beginning in ["HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"] {
        let cut = |name: &str| {
            Upstream::start(name, move |exchange| {
                exchange.body()?;
                exchange.send(beginning)?;
                Ok(Next::Close)
            })
        };
        let upstreams = [cut("cut-1"), cut("cut-2")];
        let upstreams: Vec<_> = upstreams.iter().collect();
        let gateway = Gateway::start(IN_TURN, &upstreams);
        let mut wire = connect(gateway.address());
        wire.send(request("GET", "/page", "")).expect("send");
        // It may end without any byte of the response, which then does not look complete either.
        if let Ok(Some(head)) = wire.head() {
            let body = wire.body(head.of_response("GET").expect("a framing")).expect("what there is of the body");
            assert!(head.status() == 502 || !body.whole, "{head:?} {body:?}");
        }
        assert_eq!(deliveries(&upstreams, "/page"), 1, "after {beginning:?}");
    }
}

#[test]
fn a_response_that_is_no_http_is_a_bad_gateway() {
    for nonsense in
        ["SSH-2.0-OpenSSH\r\n", "\0\0\0\0\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"]
    {
        let upstream = Upstream::start("nonsense", move |exchange| {
            exchange.body()?;
            exchange.send(nonsense)?;
            Err(ErrorKind::Other.into())
        });
        let gateway = Gateway::start("", &[&upstream]);
        let response = exchange(gateway.address(), post("/", "", "one"));
        assert_eq!(response.status(), 502, "of {nonsense:?}");
        assert_reason(&response.head.all("content-type"), &response.text());
        assert_eq!(upstream.count("/"), 1);
    }
}
