//! `max_in_flight`: a full upstream gets no more requests.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use crate::failover::assert_reason;
use crate::refusals_http2::with;
use crate::support::GUARD;
use crate::support::client::{connect, get, request};
use crate::support::frames::{Frames, Outcome};
use crate::support::gateway::{Gateway, config};
use crate::support::h2;
use crate::support::upstream::{Next, Upstream};
use crate::support::visitor::{Visitor, token};
use crate::support::websocket;
use crate::support::wire::Wire;

/// An upstream that responds to `/held` on command, and to everything else at once.
struct Held {
    upstream: Upstream,
    arrived: Receiver<()>,
    release: Sender<()>,
}

impl Held {
    fn start(name: &str) -> Self {
        let (arrive, arrived) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let body = name.to_owned();
        let upstream = Upstream::start(name, move |exchange| {
            if exchange.head.target() == "/held" {
                exchange.body()?;
                // The test may have ended, and with it the receiver.
                let _ = arrive.send(());
                let _ = released.lock().expect("lock").recv_timeout(GUARD);
            }
            exchange.ok(&body)
        });
        Self { upstream, arrived, release }
    }

    /// Requests `/held`; on return the upstream has the request.
    fn occupy(&self, gateway: &Gateway, fields: &str) -> Wire<TcpStream> {
        let mut wire = connect(gateway.address());
        self.occupy_by(&mut wire, fields);
        wire
    }

    fn occupy_by(&self, wire: &mut Wire<TcpStream>, fields: &str) {
        wire.send(request("GET", "/held", fields)).expect("send");
        self.arrived.recv_timeout(GUARD).expect("the request arrives");
    }
}

fn limited(settings: &str, upstreams: &[(&Upstream, usize)]) -> Gateway {
    let entry = |(upstream, limit): &(&Upstream, usize)| upstream.entry(&format!("max_in_flight = {limit}"));
    Gateway::with(&format!("{}{}", config(settings, &[]), upstreams.iter().map(entry).collect::<String>()))
}

#[test]
fn beyond_the_limit_there_is_a_reason() {
    let held = Held::start("app-1");
    let gateway = limited("", &[(&held.upstream, 2)]);
    let mut first = held.occupy(&gateway, "");
    let mut second = held.occupy(&gateway, "");

    let third = get(gateway.address(), "/third");
    assert_eq!(third.status(), 503);
    assert_reason(&third.head.all("content-type"), &third.text());
    assert_eq!(held.upstream.count("/third"), 0);

    for _ in 0..2 {
        held.release.send(()).expect("release one");
    }
    assert_eq!((first.response("GET").status(), second.response("GET").status()), (200, 200));
    assert_eq!(first.exchange(request("GET", "/next", "")).status(), 200);
}

#[test]
fn without_a_limit_there_is_room() {
    let held = Held::start("app-1");
    let gateway = limited("", &[(&held.upstream, 0)]);
    let waiting: Vec<_> = (0..20).map(|_| held.occupy(&gateway, "")).collect();
    assert_eq!(get(gateway.address(), "/").status(), 200);
    for _ in &waiting {
        held.release.send(()).expect("release one");
    }
    for mut wire in waiting {
        assert_eq!(wire.response("GET").status(), 200);
    }
}

#[test]
fn newcomers_go_where_there_is_room() {
    let held = Held::start("app-1");
    let roomy = Upstream::named("app-2");
    let gateway = limited("[policy]\nname = \"round_robin\"", &[(&held.upstream, 1), (&roomy, 0)]);
    let mut waiting = held.occupy(&gateway, "");
    for _ in 0..6 {
        assert_eq!(get(gateway.address(), "/").text(), "app-2");
    }
    held.release.send(()).expect("release");
    assert_eq!(waiting.response("GET").status(), 200);
}

/// One visitor pinned to a held upstream that another of its requests fills. It is released as soon as a request waits.
fn pinned_to_a_full_one(affinity: &str) -> (u16, String, bool) {
    let held = Held::start("app-1");
    let roomy = Upstream::named("app-2");
    let settings = format!("[affinity]\n{affinity}\n[policy]\nname = \"round_robin\"");
    let gateway = limited(&settings, &[(&held.upstream, 1), (&roomy, 0)]);
    let mut visitor = Visitor::new(gateway.address(), "pinned");
    // On the same connection, where no request begins before the last one has ended its lease.
    let mut occupying = connect(gateway.address());
    let first = occupying.exchange(request("GET", "/", &visitor.fields()));
    assert_eq!(first.text(), "app-1");
    visitor.token = token(&first.head);
    held.occupy_by(&mut occupying, &visitor.fields());
    let mut wire = connect(gateway.address());
    wire.send(request("GET", "/", &visitor.fields())).expect("send");
    if affinity.is_empty() {
        let early = wire.stream().set_read_timeout(Some(Duration::from_millis(300)));
        early.expect("a timeout");
        assert!(wire.stream().peek(&mut [0]).is_err(), "answered while its upstream is full");
        wire.stream().set_read_timeout(Some(GUARD)).expect("a timeout");
        held.release.send(()).expect("release");
        assert_eq!(occupying.response("GET").status(), 200);
    }
    let response = wire.response("GET");
    if !affinity.is_empty() {
        held.release.send(()).expect("release");
        assert_eq!(occupying.response("GET").status(), 200);
    }
    (response.status(), response.text(), token(&response.head).is_some())
}

#[test]
fn a_full_upstreams_visitor_waits_or_moves_or_is_told() {
    assert_eq!(pinned_to_a_full_one(""), (200, "app-1".to_owned(), false));
    assert_eq!(pinned_to_a_full_one("on_full = \"move\""), (200, "app-2".to_owned(), true));
    let (status, _, is_set) = pinned_to_a_full_one("on_unavailable = \"reject\"");
    assert_eq!((status, is_set), (503, false));
}

#[test]
fn a_tunnel_counts_while_it_is_open() {
    let upstream = Upstream::start("app-1", |exchange| match exchange.head.target().as_str() {
        "/socket" => websocket::echo(exchange),
        _ => exchange.ok("app-1"),
    });
    let gateway = limited("", &[(&upstream, 1)]);
    let (mut socket, _) = websocket::open(gateway.address(), "");
    assert_eq!(get(gateway.address(), "/").status(), 503);
    socket.close(None).expect("begin to close");
    while socket.read().is_ok() {}
    drop(socket);
    // The gateway notices both ends a moment after the client.
    until(|| get(gateway.address(), "/").status() == 200);
}

#[test]
fn a_client_that_leaves_makes_room() {
    let upstream = Upstream::start("app-1", |exchange| {
        if exchange.head.target() == "/" {
            return exchange.ok("app-1");
        }
        exchange.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        // Streams for as long as the client reads.
        while exchange.send("5\r\nhello\r\n").is_ok() {}
        Ok(Next::Close)
    });
    let gateway = limited("", &[(&upstream, 1)]);
    let mut wire = connect(gateway.address());
    wire.send(request("GET", "/endless", "")).expect("send");
    assert_eq!(wire.response_head().1.status(), 200);
    assert_eq!(get(gateway.address(), "/").status(), 503);
    drop(wire);
    until(|| get(gateway.address(), "/").status() == 200);
}

#[test]
fn a_client_that_leaves_before_its_answer_makes_room() {
    let held = Held::start("app-1");
    let gateway = limited("", &[(&held.upstream, 1)]);
    drop(held.occupy(&gateway, ""));
    until(|| get(gateway.address(), "/").status() == 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cancelled_makes_room() {
    let held = Held::start("app-1");
    let gateway = limited("", &[(&held.upstream, 1)]);
    let mut sender = h2::prior_knowledge(gateway.address()).await;
    let response = tokio::spawn(sender.send_request(h2::get("/held")));
    tokio::task::block_in_place(|| held.arrived.recv_timeout(GUARD)).expect("the request arrives");
    assert_eq!(h2::fetch(&sender, h2::get("/")).await.status, 503);
    response.abort();
    let start = Instant::now();
    while h2::fetch(&sender, h2::get("/")).await.status != 200 {
        assert!(start.elapsed() < GUARD, "there is no room");
    }
}

/// A guard against waiting forever.
const IMPATIENT: &str = "[timeouts]\nheader = \"300ms\"\nidle = \"300ms\"";

#[test]
fn a_stream_that_takes_nothing_makes_room() {
    for pings in [false, true] {
        let held = Held::start("app-1");
        let gateway = limited(IMPATIENT, &[(&held.upstream, 1)]);
        let mut stalled = Frames::connect_without_window(gateway.address());
        stalled.begin(&with(b":path", b"/held"), true);
        held.arrived.recv_timeout(GUARD).expect("the request arrives");
        let mut wire = connect(gateway.address());
        assert_eq!(wire.exchange(request("GET", "/", "")).status(), 503);

        held.release.send(()).expect("release");
        assert_eq!(stalled.outcome(), Outcome::Status(200));
        until(|| {
            let _ended = pings && !stalled.ping();
            wire.exchange(request("GET", "/", "")).status() == 200
        });
        stalled.await_end();
    }
}

#[test]
fn a_tunnel_that_only_its_client_keeps_makes_room() {
    let (end, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let upstream = Upstream::start("app-1", move |exchange| {
        if exchange.head.target() == "/" {
            return exchange.ok("app-1");
        }
        exchange.body()?;
        exchange.send(websocket::grant(&exchange.head))?;
        ended.lock().expect("lock").recv_timeout(GUARD).map_err(|_| ErrorKind::TimedOut)?;
        Ok(Next::Close)
    });
    let gateway = limited(IMPATIENT, &[(&upstream, 1)]);
    let mut tunnel = connect(gateway.address());
    tunnel.send(request("GET", "/socket", &websocket::fields())).expect("ask for a tunnel");
    assert_eq!(tunnel.response_head().1.status(), 101);
    let mut wire = connect(gateway.address());
    assert_eq!(wire.exchange(request("GET", "/", "")).status(), 503);

    end.send(()).expect("let the upstream close");
    assert!(tunnel.ended());
    until(|| wire.exchange(request("GET", "/", "")).status() == 200);
}

/// Polls until the condition holds; only the guard limits how often.
fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < GUARD, "it never was so");
    }
}
