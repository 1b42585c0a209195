//! A tunnel opens after the upstream's 101 and never before.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::failover::assert_reason;
use crate::support::GUARD;
use crate::support::client::{connect, exchange, get, guarded, request};
use crate::support::gateway::Gateway;
use crate::support::head::latin1;
use crate::support::upstream::{Next, Upstream};
use crate::support::websocket;

/// What a client that assumes the upgrade would send: not HTTP.
const RAW: &str = "\u{1}\u{2}RAW-BYTES\u{3}\u{4}\r\n\r\n";

fn refusing(status: &'static str) -> Upstream {
    Upstream::start("app-1", move |exchange| {
        if exchange.head.has("upgrade") {
            exchange.answer(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"))
        } else {
            exchange.ok("yes")
        }
    })
}

/// Sends an upgrade and, without waiting, `after`; whether the upstream got that as raw bytes.
fn tunnelled(address: SocketAddr, upstream: &Upstream, after: &str, mark: &str) -> bool {
    let mut wire = connect(address);
    let upgrade = request("GET", "/socket", &websocket::fields());
    wire.send(format!("{upgrade}{after}")).expect("send");
    assert!(wire.response("GET").status() != 101);
    // The rest gets a response or the end of the connection.
    let _ = wire.head();
    latin1(&upstream.raw()).contains(mark)
}

#[test]
fn bytes_after_a_refused_upgrade_are_never_tunnelled() {
    for status in ["403 Forbidden", "200 OK", "426 Upgrade Required", "302 Found", "500 Oops"] {
        let upstream = refusing(status);
        let gateway = Gateway::start("", &[&upstream]);
        assert!(!tunnelled(gateway.address(), &upstream, RAW, "RAW-BYTES"), "after {status}");
    }
}

/// Bytes after a refused upgrade may contain a request with fields that only the gateway may set.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: 203.0.113.66\r\n\r\n";

#[test]
fn a_request_after_a_refused_upgrade_is_the_next_request() {
    for status in ["403 Forbidden", "200 OK"] {
        let upstream = refusing(status);
        let gateway = Gateway::start("", &[&upstream]);
        assert!(!tunnelled(gateway.address(), &upstream, HIDDEN, "203.0.113.66"), "after {status}");
        for seen in upstream.seen() {
            assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"], "{seen:?}");
        }
    }
}

#[test]
fn a_refused_upgrade_leaves_a_connection_of_use() {
    let upstream = refusing("403 Forbidden");
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    let refused = wire.exchange(request("GET", "/socket", &websocket::fields()));
    assert_eq!((refused.status(), refused.text().as_str()), (403, "no"));
    if !refused.head.list("connection").contains(&"close".to_owned()) {
        assert_eq!(wire.exchange(request("GET", "/next", "")).text(), "yes");
    }
}

/// The control: a relay that tunnels before the 101.
fn relay(upstream: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a relay");
    let address = listener.local_addr().expect("a bound address");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(upstream) else { return };
            let (client, server) = (guarded(client), guarded(server));
            let copy = |mut from: TcpStream, mut to: TcpStream| {
                thread::spawn(move || {
                    // Either end may leave first.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                })
            };
            copy(client.try_clone().expect("clone"), server.try_clone().expect("clone"));
            copy(server, client);
        }
    });
    address
}

#[test]
fn a_relay_that_tunnels_too_early_is_noticed() {
    let upstream = refusing("403 Forbidden");
    assert!(tunnelled(relay(upstream.address), &upstream, RAW, "RAW-BYTES"));
    let upstream = refusing("403 Forbidden");
    assert!(tunnelled(relay(upstream.address), &upstream, HIDDEN, "203.0.113.66"));
}

#[test]
fn nothing_follows_the_request_before_the_101() {
    let (grant, granted) = mpsc::channel::<()>();
    let granted = Mutex::new(granted);
    let upstream = Upstream::start("app-1", move |exchange| {
        if exchange.head.target() == "/after" {
            return exchange.ok("after");
        }
        exchange.body()?;
        granted.lock().expect("lock").recv_timeout(GUARD).map_err(|_| ErrorKind::TimedOut)?;
        exchange.socket().set_nonblocking(true)?;
        let early = exchange.wire.read(&mut [0; 64]);
        exchange.socket().set_nonblocking(false)?;
        exchange.send(websocket::grant(&exchange.head))?;
        exchange.send(if early.is_ok() { "early " } else { "never " })?;
        let mut after = [0; RAW.len()];
        exchange.wire.read_exact(&mut after)?;
        exchange.send(after)?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    let upgrade = request("GET", "/socket", &websocket::fields());
    wire.send(format!("{upgrade}{RAW}")).expect("send");
    // The gateway has had the bytes for a whole exchange before the upstream looks for them.
    get(gateway.address(), "/after");
    grant.send(()).expect("let the upstream grant it");
    assert_eq!(wire.response_head().1.status(), 101);
    assert_eq!(latin1(&wire.rest().expect("the tunnel's end")), format!("never {RAW}"));
}

/// An upstream that accepts any upgrade and then runs `talk`.
fn granting(talk: fn(&mut crate::support::upstream::Exchange) -> std::io::Result<()>) -> Upstream {
    Upstream::start("app-1", move |exchange| {
        exchange.body()?;
        let protocol = exchange.head.one("upgrade").unwrap_or_default();
        exchange.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\nhello "
        ))?;
        talk(exchange)?;
        Ok(Next::Close)
    })
}

#[test]
fn any_protocol_passes_with_bytes_beside_the_101() {
    let upstream = granting(|exchange| {
        let mut word = [0; 5];
        exchange.wire.read_exact(&mut word)?;
        exchange.wire.write_all(&word)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    let upgrade = request("GET", "/", "Connection: keep-alive, Upgrade\r\nUpgrade: chess/1\r\n");
    wire.send(format!("{upgrade}world")).expect("send");
    let (_, head) = wire.response_head();
    assert_eq!((head.status(), head.one("upgrade").as_deref()), (101, Some("chess/1")));
    assert_eq!(wire.rest().expect("the tunnel's end"), b"hello world");
}

#[test]
fn a_half_closed_tunnel_still_carries_the_other_way() {
    let upstream = granting(|exchange| {
        // The client ends first; the response follows.
        let said = exchange.wire.rest()?;
        exchange.wire.write_all(&said)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("GET", "/", "Connection: upgrade\r\nUpgrade: chess/1\r\n")).expect("send");
    assert_eq!(wire.response_head().1.status(), 101);
    wire.send("e4 e5").expect("send through the tunnel");
    wire.stream().shutdown(Shutdown::Write).expect("half-close");
    assert_eq!(wire.rest().expect("the tunnel's end"), b"hello e4 e5");
}

#[test]
fn an_unrequested_101_opens_no_tunnel() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.answer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chess/1\r\n\r\n")?;
        exchange.wire.rest()?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(format!("{}{RAW}", request("POST", "/", "Content-Length: 0\r\n"))).expect("send");
    let response = wire.response("POST");
    assert_eq!(response.status(), 502);
    assert_reason(&response.head.all("content-type"), &response.text());
    assert!(!latin1(&upstream.raw()).contains("RAW-BYTES"));
}

#[test]
fn http_1_0_upgrades_to_nothing() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let upgrade = request("GET", "/", &websocket::fields()).replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(exchange(gateway.address(), upgrade).text(), "app-1");
    assert!(!upstream.only().head.has("upgrade"));
}
