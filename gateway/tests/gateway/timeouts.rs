//! Timeouts: tests judge the outcome, never the duration.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::failover::assert_reason;
use crate::refusals_http2::GET;
use crate::support::GUARD;
use crate::support::client::{connect, exchange, get, post, request};
use crate::support::frames::{Frames, Outcome};
use crate::support::gateway::{Gateway, config};
use crate::support::h2;
use crate::support::upstream::{Next, Upstream};
use crate::support::websocket;

/// Longer than the timeouts below: a stimulus, not a wait for luck.
const LONGER: Duration = Duration::from_millis(700);

/// Never responds before the test ends.
fn silent(name: &str) -> (Upstream, mpsc::Sender<()>) {
    let (end, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let upstream = Upstream::start(name, move |exchange| {
        exchange.body()?;
        // The sender's drop ends the wait.
        let _ = ended.lock().expect("lock").recv_timeout(GUARD);
        Ok(Next::Close)
    });
    (upstream, end)
}

#[test]
fn an_upstream_that_does_not_answer_is_a_timeout() {
    let (upstream, _end) = silent("app-1");
    let gateway = Gateway::start("[timeouts]\nresponse = \"200ms\"", &[&upstream]);
    for request in [request("GET", "/page", ""), post("/order", "", "one")] {
        let response = exchange(gateway.address(), request);
        assert_eq!(response.status(), 504);
        assert_reason(&response.head.all("content-type"), &response.text());
    }
    assert_eq!(upstream.count("/order"), 1);
}

#[test]
fn a_post_that_timed_out_is_never_sent_twice() {
    let (first, _first) = silent("app-1");
    let (second, _second) = silent("app-2");
    let settings = "[policy]\nname = \"round_robin\"\n[timeouts]\nresponse = \"200ms\"";
    let gateway = Gateway::start(settings, &[&first, &second]);
    for number in 0..3 {
        let target = format!("/order/{number}");
        assert_eq!(exchange(gateway.address(), post(&target, "", "one")).status(), 504);
        assert_eq!(first.count(&target) + second.count(&target), 1);
    }
}

/// Listens, but no connection can be established, because its queue is full.
struct Clogged {
    listener: Socket,
    _queued: Vec<Socket>,
}

impl Clogged {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind");
        listener.listen(0).expect("listen");
        let address = listener.local_addr().expect("a bound address");
        let mut queued = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            // On loopback a connection is established at once, or its SYN was dropped.
            let established = socket.connect_timeout(&address, LONGER).is_ok();
            queued.push(socket);
            if !established {
                return Self { listener, _queued: queued };
            }
            assert!(queued.len() < 100, "the queue never fills");
        }
    }

    fn entry(&self) -> String {
        let address = self.listener.local_addr().expect("a bound address").as_socket().expect("an address");
        format!("[[upstream]]\nname = \"clogged\"\naddress = \"{address}\"\n")
    }
}

#[test]
fn a_connection_that_is_not_established_is_a_timeout() {
    let clogged = Clogged::new();
    let settings = "[timeouts]\nconnect = \"200ms\"";
    let gateway = Gateway::with(&format!("{}{}", config(settings, &[]), clogged.entry()));
    for request in [request("GET", "/", ""), post("/", "", "one")] {
        let response = exchange(gateway.address(), request);
        assert_eq!(response.status(), 504);
        assert_reason(&response.head.all("content-type"), &response.text());
    }
}

#[test]
fn where_nothing_was_sent_another_upstream_serves() {
    let clogged = Clogged::new();
    let alive = Upstream::named("alive");
    let settings = "[policy]\nname = \"round_robin\"\n[timeouts]\nconnect = \"200ms\"";
    let gateway = Gateway::with(&format!("{}{}{}", config(settings, &[]), clogged.entry(), alive.entry("")));
    for number in 0..4 {
        let target = format!("/order/{number}");
        assert_eq!(exchange(gateway.address(), post(&target, "", "one")).text(), "alive");
        assert_eq!(alive.count(&target), 1);
    }
}

#[test]
fn a_head_that_does_not_come_is_a_timeout() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("[timeouts]\nheader = \"200ms\"", &[&upstream]);
    for part in ["GET / HT", "GET / HTTP/1.1\r\nHost: app.ex", "GET / HTTP/1.1\r\nHost: app.example\r\n"] {
        let mut wire = connect(gateway.address());
        wire.send(part).expect("send");
        if let Some(head) = wire.head().expect("an answer or the end") {
            assert_eq!(head.status(), 408, "{head:?}");
        }
    }
    assert_eq!(upstream.raw(), b"");
}

#[test]
fn a_connection_without_a_next_request_ends() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("[timeouts]\nidle = \"200ms\"", &[&upstream]);
    let mut wire = connect(gateway.address());
    assert_eq!(wire.exchange(request("GET", "/", "")).status(), 200);
    assert!(wire.ended());
}

/// An HTTP/2 connection after its first response.
fn spent(gateway: &Gateway) -> Frames {
    let mut frames = Frames::connect(gateway.address());
    frames.begin(&GET, true);
    assert_eq!(frames.outcome(), Outcome::Status(200));
    frames
}

#[test]
fn an_http2_connection_without_a_next_request_ends() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("[timeouts]\nheader = \"300ms\"\nidle = \"300ms\"", &[&upstream]);
    // A client may ignore GOAWAY.
    spent(&gateway).await_end();

    let mut pinging = spent(&gateway);
    let start = Instant::now();
    while pinging.ping() {
        assert!(start.elapsed() < GUARD, "pings keep it open");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_wait_between_requests_is_no_wait_for_a_head() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("[timeouts]\nheader = \"200ms\"", &[&upstream]);
    let mut wire = connect(gateway.address());
    for _ in 0..2 {
        assert_eq!(wire.exchange(request("GET", "/", "")).status(), 200);
        thread::sleep(LONGER);
    }
}

#[test]
fn timeouts_of_the_head_spare_what_follows_it() {
    let upstream = Upstream::start("app-1", |exchange| match exchange.head.target().as_str() {
        "/socket" => websocket::echo(exchange),
        "/events" => {
            exchange.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")?;
            thread::sleep(LONGER);
            exchange.send("b")?;
            Ok(Next::Request)
        }
        _ => exchange.ok("app-1"),
    });
    let gateway = Gateway::start("[timeouts]\nheader = \"200ms\"\nresponse = \"200ms\"", &[&upstream]);
    assert_eq!(get(gateway.address(), "/events").text(), "ab");

    let (mut socket, _) = websocket::open(gateway.address(), "");
    thread::sleep(LONGER);
    socket.send("still here".into()).expect("send");
    assert_eq!(socket.read().expect("an echo"), "still here".into());
}

#[test]
fn an_upload_that_goes_on_is_no_answer_that_fails_to_come() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("[timeouts]\nresponse = \"2s\"", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("POST", "/", "Content-Length: 10\r\n")).expect("send");
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(300));
        wire.send("x").expect("send");
    }
    assert_eq!(wire.response("POST").text(), "app-1");
}

/// Responds later than the timeouts of its clients.
fn leisurely() -> Upstream {
    Upstream::start("app-1", |exchange| {
        exchange.body()?;
        thread::sleep(LONGER);
        exchange.ok("at last")
    })
}

#[test]
fn a_client_that_waits_for_its_answer_is_not_idle() {
    let upstream = leisurely();
    let gateway = Gateway::start("[timeouts]\nheader = \"200ms\"\nidle = \"200ms\"", &[&upstream]);
    assert_eq!(get(gateway.address(), "/").text(), "at last");
}

#[tokio::test]
async fn a_stream_that_waits_for_its_answer_is_not_idle() {
    let upstream = leisurely();
    let gateway = Gateway::start("[timeouts]\nheader = \"200ms\"\nidle = \"200ms\"", &[&upstream]);
    let sender = h2::prior_knowledge(gateway.address()).await;
    assert_eq!(h2::fetch(&sender, h2::get("/")).await.text(), "at last");
}

#[test]
fn a_slow_client_keeps_no_other_waiting() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("workers = 1", &[&upstream]);
    let slow: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(gateway.address()).expect("connect")).collect();
    let mut started = connect(gateway.address());
    started.send("GET / HTTP/1.1\r\nHost: app.ex").expect("send");
    assert_eq!(get(gateway.address(), "/").status(), 200);
    started.send("ample\r\n\r\n").expect("send");
    assert_eq!(started.response("GET").status(), 200);
    drop(slow);
}

#[test]
fn a_client_that_waits_is_not_answered_twice() {
    // The client got a local reply for the timeout; the late response must not reach any client.
    let upstream = Upstream::start("app-1", |exchange| {
        if exchange.head.target() == "/late" {
            thread::sleep(LONGER);
            return exchange.ok("late");
        }
        exchange.ok("prompt")
    });
    let gateway = Gateway::start("workers = 1\n[timeouts]\nresponse = \"200ms\"", &[&upstream]);
    let mut wire = connect(gateway.address());
    assert_eq!(wire.exchange(post("/late", "", "one")).status(), 504);
    let mut later = connect(gateway.address());
    for _ in 0..3 {
        assert_eq!(later.exchange(request("GET", "/", "")).text(), "prompt");
        thread::sleep(LONGER / 2);
    }
}
