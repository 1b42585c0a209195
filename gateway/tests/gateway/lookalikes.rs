//! An application's response may look like a server's own refusal, and is forwarded unchanged.

use std::io::{ErrorKind, Read};
use std::sync::{Mutex, mpsc};

use crate::support::GUARD;
use crate::support::client::{connect, request};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Next, Upstream};
use crate::support::websocket;

/// Byte for byte the response of hyper's server to a malformed head.
const BARE: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Sends the head, and each piece of the body only after the test has seen the previous one.
fn in_pieces(head: String, pieces: &'static [&'static str]) -> (Upstream, mpsc::Sender<()>) {
    let (seen, was_seen) = mpsc::channel();
    let was_seen = Mutex::new(was_seen);
    let upstream = Upstream::start("app-1", move |exchange| {
        exchange.answer(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"))?;
        for piece in pieces {
            was_seen.lock().expect("lock").recv_timeout(GUARD).map_err(|_| ErrorKind::TimedOut)?;
            exchange.send(piece)?;
        }
        Ok(Next::Close)
    });
    (upstream, seen)
}

#[test]
fn a_body_may_look_like_an_error_response() {
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        for pieces in [&[BARE][..], &["before", BARE], &[BARE, "after"], &[BARE, BARE]] {
            let body = pieces.concat();
            for head in [format!("Content-Length: {}", body.len()), "Connection: close".to_owned()] {
                let (upstream, seen) = in_pieces(head.clone(), pieces);
                let gateway = Gateway::start("", &[&upstream]);
                let mut wire = connect(gateway.address());
                wire.send(request("GET", "/", "").replace("HTTP/1.1", version)).expect("send");
                let framing = wire.response_head().1.of_response("GET").expect("a framing");
                seen.send(()).expect("tell the upstream");
                let mut arrived = String::new();
                let read = wire.body_into(framing, &mut |piece| {
                    arrived += &String::from_utf8_lossy(piece);
                    seen.send(()).expect("tell the upstream");
                });
                assert!(read.expect("the body").whole, "{arrived:?} of {head}");
                assert_eq!(arrived, body, "{version}, {head}");
            }
        }
    }
}

#[test]
fn what_a_tunnel_carries_may_look_like_an_error_response() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.body()?;
        exchange.send(websocket::grant(&exchange.head))?;
        let mut said = [0; BARE.len()];
        for _ in 0..3 {
            exchange.wire.read_exact(&mut said)?;
            exchange.send(said)?;
        }
        Ok(Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("GET", "/socket", &websocket::fields())).expect("ask for a tunnel");
    assert_eq!(wire.response_head().1.status(), 101);
    for _ in 0..3 {
        wire.send(BARE).expect("send through the tunnel");
        let mut echoed = [0; BARE.len()];
        wire.read_exact(&mut echoed).expect("an echo");
        assert_eq!(String::from_utf8_lossy(&echoed), BARE);
    }
    assert!(wire.ended());
}
