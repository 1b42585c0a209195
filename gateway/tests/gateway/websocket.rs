//! WebSockets through the gateway.

use std::sync::mpsc;
use std::thread;

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::support::GUARD;
use crate::support::gateway::Gateway;
use crate::support::pattern::{MIB, Pattern};
use crate::support::upstream::Upstream;
use crate::support::visitor::{COOKIE, Visitor, token};
use crate::support::websocket::{self, echo, open};

const MESSAGES: usize = 1024;
const MESSAGE: usize = 64 * 1024 - 32;

#[test]
fn sixty_four_mebibytes_pass_both_ways_at_once() {
    let upstream = Upstream::start("app-1", echo);
    let gateway = Gateway::start("", &[&upstream]);
    let (mut socket, _) = open(gateway.address(), "");
    let mut writer = websocket::writer(&socket);
    let sending = thread::spawn(move || {
        let mut pattern = Pattern::new();
        for _ in 0..MESSAGES {
            let message = Bytes::copy_from_slice(pattern.next(MESSAGE));
            writer.send(Message::Binary(message)).expect("send a message");
        }
        pattern.length()
    });
    let mut arrived = Pattern::new();
    for _ in 0..MESSAGES {
        match socket.read().expect("read a message") {
            Message::Binary(message) => arrived.check(&message),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sending.join().expect("the sender"), arrived.length());
    assert_eq!(arrived.fault(), None);
    assert!(arrived.length() > 63 * MIB as u64);
}

#[test]
fn pings_are_answered_by_the_other_end() {
    let (pong, ponged) = mpsc::channel();
    let upstream = Upstream::start("app-1", move |exchange| {
        websocket::serve(exchange, |socket| {
            socket.send(Message::Ping("from the upstream".into()))?;
            loop {
                match socket.read() {
                    // The test may have ended, and with it the receiver.
                    Ok(Message::Pong(payload)) => drop(pong.send(payload)),
                    Ok(_) => {}
                    Err(Error::ConnectionClosed) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        })
    });
    let gateway = Gateway::start("", &[&upstream]);
    let (mut socket, _) = open(gateway.address(), "");
    socket.send(Message::Ping("from the client".into())).expect("ping");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(socket.read().expect("read a message"));
    }
    seen.sort_by_key(Message::is_pong);
    assert_eq!(seen, [Message::Ping("from the upstream".into()), Message::Pong("from the client".into())]);
    socket.flush().expect("answer the ping");
    assert_eq!(&ponged.recv_timeout(GUARD).expect("a pong")[..], b"from the upstream");
}

fn farewell(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame { code, reason: reason.into() }
}

#[test]
fn a_close_by_the_client_reaches_the_upstream_and_back() {
    let (closed, heard) = mpsc::channel();
    let upstream = Upstream::start("app-1", move |exchange| {
        websocket::serve(exchange, |socket| {
            loop {
                match socket.read() {
                    // The test may have ended, and with it the receiver.
                    Ok(Message::Close(frame)) => drop(closed.send(frame)),
                    Ok(_) => {}
                    Err(Error::ConnectionClosed) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        })
    });
    let gateway = Gateway::start("", &[&upstream]);
    let (mut socket, _) = open(gateway.address(), "");
    let frame = farewell(CloseCode::Away, "closing the tab");
    socket.close(Some(frame.clone())).expect("begin to close");
    assert_eq!(heard.recv_timeout(GUARD).expect("a close"), Some(frame.clone()));
    assert_eq!(socket.read().expect("the echo of the close"), Message::Close(Some(frame)));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
}

#[test]
fn a_close_by_the_upstream_reaches_the_client() {
    let upstream = Upstream::start("app-1", |exchange| {
        websocket::serve(exchange, |socket| {
            socket.close(Some(farewell(CloseCode::Restart, "rolling over")))?;
            while socket.read().is_ok() {}
            Ok(())
        })
    });
    let gateway = Gateway::start("", &[&upstream]);
    let (mut socket, _) = open(gateway.address(), "");
    let heard = socket.read().expect("a close");
    assert_eq!(heard, Message::Close(Some(farewell(CloseCode::Restart, "rolling over"))));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
}

#[test]
fn sockets_stay_with_their_visitor() {
    let upstreams: Vec<_> = (1..=5)
        .map(|number| {
            let name = format!("app-{number}");
            Upstream::start(&name.clone(), move |exchange| match exchange.head.target().as_str() {
                "/socket" => websocket::serve(exchange, |socket| {
                    socket.send(Message::Text(name.as_str().into()))?;
                    while socket.read().is_ok() {}
                    Ok(())
                }),
                _ => exchange.ok(&name),
            })
        })
        .collect();
    let gateway = Gateway::before(&upstreams);
    for mut visitor in Visitor::several(gateway.address(), 20) {
        let page = visitor.visit().text();
        let (mut socket, head) = open(gateway.address(), &visitor.fields());
        assert_eq!(socket.read().expect("its greeting"), Message::Text(page.as_str().into()));
        assert_eq!(token(&head), None);
    }
}

#[test]
fn a_first_visit_by_socket_is_given_its_cookie() {
    let upstreams: Vec<_> = (1..=5).map(|number| Upstream::start(&format!("app-{number}"), echo)).collect();
    let gateway = Gateway::before(&upstreams);
    let (_first, head) = open(gateway.address(), "");
    let given = token(&head).expect("a cookie in the 101");
    let at =
        |upstreams: &[Upstream]| -> Vec<usize> { upstreams.iter().map(|upstream| upstream.seen().len()).collect() };
    let before = at(&upstreams);
    let (_second, head) = open(gateway.address(), &format!("Cookie: {COOKIE}={given}\r\n"));
    assert_eq!(token(&head), None);
    assert_eq!(at(&upstreams), before.iter().map(|count| count * 2).collect::<Vec<_>>());
}

#[test]
fn subprotocols_and_extensions_pass() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.body()?;
        let granted = websocket::grant(&exchange.head);
        let granted = granted.replace("Upgrade: w", "Sec-WebSocket-Protocol: chat.v2\r\nUpgrade: w");
        exchange.send(granted)?;
        Ok(crate::support::upstream::Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let asked = "Sec-WebSocket-Protocol: chat.v1, chat.v2\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
    let (_socket, head) = open(gateway.address(), asked);
    assert_eq!(head.all("sec-websocket-protocol"), ["chat.v2"]);
    assert_eq!(head.list("connection").iter().map(|it| it.to_lowercase()).collect::<Vec<_>>(), ["upgrade"]);
    assert_eq!(head.one("upgrade").as_deref(), Some("websocket"));
    let seen = upstream.only().head;
    assert_eq!(seen.all("sec-websocket-protocol"), ["chat.v1, chat.v2"]);
    assert_eq!(seen.all("sec-websocket-extensions"), ["permessage-deflate"]);
    assert_eq!(seen.one("sec-websocket-version").as_deref(), Some("13"));
}
