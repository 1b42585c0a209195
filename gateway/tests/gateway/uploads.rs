//! Requests with bodies of unknown length, and bodies that the upstream does not read.

use std::io::ErrorKind;
use std::sync::mpsc;

use crate::refusals_http2::{GET, with};
use crate::support::GUARD;
use crate::support::client::{connect, exchange, request};
use crate::support::frames::{Frames, Outcome};
use crate::support::gateway::Gateway;
use crate::support::pattern::MIB;
use crate::support::upstream::{Next, Upstream};

#[test]
fn a_get_keeps_a_body_of_unknown_length() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    for method in ["GET", "DELETE", "OPTIONS"] {
        let chunks = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
        let response = exchange(gateway.address(), request(method, "/", "Transfer-Encoding: chunked\r\n") + chunks);
        assert_eq!(response.text(), "app-1");
        let seen = upstream.last();
        assert!(seen.whole() && seen.head.method() == method, "{seen:?}");
        assert_eq!(seen.body.expect("a body").text(), "hello world");
    }
}

#[test]
fn a_get_of_http2_keeps_a_body_of_unknown_length() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    assert_eq!(Frames::connect(gateway.address()).request(&GET, Some(b"hello")), Outcome::Status(200));
    let seen = upstream.only();
    assert!(seen.whole() && seen.head.method() == "GET", "{seen:?}");
    assert_eq!(seen.body.expect("a body").text(), "hello");
}

/// Whether an upload of HTTP/2 arrives as whole where `finish` follows its first piece.
fn arrives_whole(finish: fn(&mut Frames)) -> bool {
    let (tell, told) = mpsc::channel();
    let upstream = Upstream::start("app-1", move |exchange| {
        let body = exchange.body_into(&mut |piece| {
            // The test may have ended, and with it the receiver.
            let _ = tell.send(Err(piece.to_vec()));
        });
        let _ = tell.send(Ok(body.as_ref().is_ok_and(|body| body.whole)));
        body.map_err(|_| ErrorKind::Other)?;
        exchange.ok("done")
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut frames = Frames::connect(gateway.address());
    frames.begin(&with(b":method", b"POST"), false);
    frames.data(b"hello", false);
    assert_eq!(told.recv_timeout(GUARD).expect("the first piece arrives"), Err(b"hello".to_vec()));
    finish(&mut frames);
    told.recv_timeout(GUARD).expect("an end of the body").expect("nothing but the end")
}

#[test]
fn an_upload_that_is_reset_without_error_is_not_whole() {
    assert!(arrives_whole(|frames| frames.data(b"", true)));
    assert!(!arrives_whole(Frames::reset_without_error));
}

const LARGE: usize = 8 * MIB;

/// Sends a large body to its end although the response came after its first piece.
fn insist(gateway: &Gateway) -> (u16, String) {
    let mut wire = connect(gateway.address());
    wire.send(request("POST", "/large", &format!("Content-Length: {LARGE}\r\n"))).expect("send");
    let piece = vec![b'x'; 64 * 1024];
    wire.send(&piece).expect("send");
    wire.stream().peek(&mut [0]).expect("an early answer");
    for _ in 1..LARGE / piece.len() {
        wire.send(&piece).expect("the gateway hears the client out");
    }
    let response = wire.response("POST");
    (response.status(), response.text())
}

#[test]
fn a_client_still_writing_after_an_early_response_can_read_it() {
    for ending in [Next::Close, Next::Request] {
        let upstream = Upstream::start("app-1", move |exchange| {
            let connection = if ending == Next::Close { "Connection: close\r\n" } else { "" };
            exchange.send(format!("HTTP/1.1 413 Content Too Large\r\n{connection}Content-Length: 5\r\n\r\nlarge"))?;
            Ok(ending)
        });
        let gateway = Gateway::start("", &[&upstream]);
        for _ in 0..5 {
            assert_eq!(insist(&gateway), (413, "large".to_owned()));
        }
    }
}

#[test]
fn a_client_still_writing_after_an_error_response_can_read_it() {
    let mut upstream = Upstream::named("app-1");
    upstream.stop();
    let gateway = Gateway::start("", &[&upstream]);
    for _ in 0..5 {
        // The first connection is refused; by the next request the upstream may be known to be down.
        assert!(matches!(insist(&gateway).0, 502 | 503));
    }
}
