//! SIGTERM: no new connections, requests in flight finish, then the process exits.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use http_body_util::BodyExt;

use crate::support::GUARD;
use crate::support::client::{connect, request};
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::upstream::{Next, Upstream};

/// Sends half of its response, and the rest on command.
fn slow() -> (Upstream, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let upstream = Upstream::start("app-1", move |exchange| {
        if exchange.head.target() != "/slow" {
            return exchange.ok("quick");
        }
        exchange.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
        released.lock().expect("lock").recv_timeout(GUARD).map_err(|_| ErrorKind::TimedOut)?;
        exchange.send("-last")?;
        Ok(Next::Request)
    });
    (upstream, release)
}

/// Waits until the gateway no longer accepts connections.
fn await_refusal(gateway: &Gateway) {
    let start = Instant::now();
    while let Ok(stream) = TcpStream::connect(gateway.address()) {
        drop(stream);
        assert!(start.elapsed() < GUARD, "it still accepts");
    }
}

#[test]
fn what_runs_is_finished() {
    let (upstream, release) = slow();
    let mut gateway = Gateway::start("", &[&upstream]);
    let mut running = connect(gateway.address());
    running.send(request("GET", "/slow", "")).expect("send");
    let (_, head) = running.response_head();
    let mut idle = connect(gateway.address());
    assert_eq!(idle.exchange(request("GET", "/", "")).text(), "quick");

    gateway.terminate();
    await_refusal(&gateway);
    // A connection between two requests is not in flight.
    assert!(idle.ended());
    release.send(()).expect("let it go on");
    let body = running.body(head.of_response("GET").expect("a framing")).expect("the body");
    assert_eq!((body.text().as_str(), body.whole), ("first-last", true));
    assert!(running.ended());
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_connection_that_runs_takes_no_further_request() {
    let (upstream, release) = slow();
    let mut gateway = Gateway::start("", &[&upstream]);
    let mut running = connect(gateway.address());
    running.send(request("GET", "/slow", "")).expect("send");
    let (_, head) = running.response_head();
    gateway.terminate();
    await_refusal(&gateway);
    running.send(request("GET", "/further", "")).expect("send");
    release.send(()).expect("let it go on");
    assert!(running.body(head.of_response("GET").expect("a framing")).expect("the body").whole);
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(upstream.count("/further"), 0);
}

#[test]
fn a_request_that_was_sent_before_is_answered() {
    let upstream = Upstream::named("app-1");
    for workers in [1, 2] {
        let mut gateway = Gateway::start(&format!("workers = {workers}"), &[&upstream]);
        let mut fresh: Vec<_> = (0..10).map(|_| connect(gateway.address())).collect();
        // One worker accepts in turn: earlier connections are accepted by then, later ones are still in the kernel's
        // queue.
        assert_eq!(connect(gateway.address()).exchange(request("GET", "/", "")).status(), 200);
        gateway.pause();
        fresh.extend((0..10).map(|_| connect(gateway.address())));
        for wire in &mut fresh {
            wire.send(request("GET", "/", "")).expect("send");
        }
        gateway.terminate();
        gateway.resume();
        for mut wire in fresh {
            assert_eq!(wire.response("GET").text(), "app-1");
            assert!(wire.ended());
        }
        assert_eq!(gateway.wait().code(), Some(0));
    }
}

#[tokio::test]
async fn a_running_stream_is_finished() {
    let (upstream, release) = slow();
    let mut gateway = Gateway::start("", &[&upstream]);
    let sender = h2::prior_knowledge(gateway.address()).await;
    let response = h2::open(&sender, h2::get("/slow")).await;
    gateway.terminate();
    await_refusal(&gateway);
    release.send(()).expect("let it go on");
    let body = h2::guard(response.into_body().collect()).await.expect("a whole body");
    assert_eq!(body.to_bytes(), "first-last");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn with_nothing_to_finish_it_ends() {
    let upstream = Upstream::named("app-1");
    let mut gateway = Gateway::start("", &[&upstream]);
    let mut idle = connect(gateway.address());
    assert_eq!(idle.exchange(request("GET", "/", "")).status(), 200);
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(idle.ended());
}
