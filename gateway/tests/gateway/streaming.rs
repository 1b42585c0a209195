//! Bodies are forwarded at once, and with back-pressure.

use std::io::{ErrorKind, Write};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::GUARD;
use crate::support::client::{connect, get, request};
use crate::support::gateway::Gateway;
use crate::support::head::Framing;
use crate::support::pattern::{MIB, Pattern};
use crate::support::upstream::{Next, Upstream};

/// Sends `first`, and `second` only after the test has seen the first.
fn in_two(head: &'static str, first: &'static str, second: &'static str) -> (Upstream, mpsc::Sender<()>) {
    let (seen, was_seen) = mpsc::channel();
    let was_seen = Mutex::new(was_seen);
    let upstream = Upstream::start("app-1", move |exchange| {
        exchange.answer(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{first}"))?;
        was_seen.lock().expect("lock").recv_timeout(GUARD).map_err(|_| ErrorKind::TimedOut)?;
        exchange.send(second)?;
        Ok(Next::Close)
    });
    (upstream, seen)
}

#[test]
fn the_first_event_arrives_before_the_second_is_written() {
    for (head, first, second) in [
        (
            "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked",
            "9\r\ndata: 1\n\n\r\n",
            "9\r\ndata: 2\n\n\r\n0\r\n\r\n",
        ),
        ("Content-Type: text/event-stream\r\nConnection: close", "data: 1\n\n", "data: 2\n\n"),
        ("Content-Type: text/plain\r\nContent-Length: 18", "data: 1\n\n", "data: 2\n\n"),
    ] {
        let (upstream, seen) = in_two(head, first, second);
        let gateway = Gateway::start("", &[&upstream]);
        let mut wire = connect(gateway.address());
        wire.send(request("GET", "/events", "")).expect("send");
        let (_, head) = wire.response_head();
        let mut arrived = String::new();
        let mut seen = Some(seen);
        let framing = head.of_response("GET").expect("a framing");
        let body = wire.body_into(framing, &mut |piece| {
            arrived += &String::from_utf8_lossy(piece);
            if arrived == "data: 1\n\n" {
                seen.take().expect("only once").send(()).expect("tell the upstream");
            }
        });
        assert!(body.expect("the events").whole);
        assert_eq!(arrived, "data: 1\n\ndata: 2\n\n");
    }
}

#[test]
fn a_head_arrives_before_its_body_is_written() {
    let (upstream, seen) = in_two("Content-Length: 4", "", "late");
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("GET", "/", "")).expect("send");
    assert_eq!(wire.response_head().1.status(), 200);
    seen.send(()).expect("tell the upstream");
    assert_eq!(wire.body(Framing::Length(4)).expect("the body").text(), "late");
}

#[test]
fn a_piece_of_a_request_arrives_before_the_next_is_written() {
    let (first, had_first) = mpsc::channel();
    let upstream = Upstream::start("app-1", move |exchange| {
        let first = first.clone();
        let mut told = false;
        exchange.body_into(&mut |_| {
            if !told {
                told = true;
                // The test may have ended, and with it the receiver.
                let _ = first.send(());
            }
        })?;
        exchange.ok("both")
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("POST", "/", "Transfer-Encoding: chunked\r\n") + "1\r\na\r\n").expect("send");
    had_first.recv_timeout(GUARD).expect("the first piece arrives");
    wire.send("1\r\nb\r\n0\r\n\r\n").expect("send");
    assert_eq!(wire.response("POST").text(), "both");
}

/// Far more than the kernel's buffers of two connections hold.
const ENDLESS: u64 = 96 * MIB as u64;

/// No measure of time: a writer that makes progress does so much sooner.
const STUCK: Duration = Duration::from_secs(3);

/// Writes [`ENDLESS`] bytes; reports after how many it stalled, if it did.
fn torrent() -> (Upstream, mpsc::Receiver<Option<u64>>) {
    let (report, reported) = mpsc::channel();
    let upstream = Upstream::start("app-1", move |exchange| {
        exchange.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n"))?;
        exchange.socket().set_write_timeout(Some(STUCK))?;
        let mut written = 0;
        let mut pattern = Pattern::new();
        let mut stuck = None;
        while pattern.length() < ENDLESS {
            let left = usize::try_from(ENDLESS - pattern.length()).expect("it fits");
            let mut piece = pattern.next(left);
            while !piece.is_empty() {
                match exchange.wire.write(piece) {
                    Ok(count) => {
                        written += count as u64;
                        piece = &piece[count..];
                    }
                    Err(error)
                        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) && stuck.is_none() =>
                    {
                        stuck = Some(written);
                        // The test may have ended, and with it the receiver.
                        let _ = report.send(stuck);
                        exchange.socket().set_write_timeout(Some(GUARD))?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if stuck.is_none() {
            let _ = report.send(None);
        }
        Ok(Next::Request)
    });
    (upstream, reported)
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    let (upstream, reported) = torrent();
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("GET", "/", "")).expect("send");
    let stuck = reported.recv_timeout(GUARD).expect("a report");
    assert!(stuck.is_some(), "the gateway took {ENDLESS} bytes that nobody reads");

    // Nothing is lost by back-pressure: everything arrives once it is read.
    let (_, head) = wire.response_head();
    let mut pattern = Pattern::new();
    let body = wire.body_into(head.of_response("GET").expect("a framing"), &mut |piece| pattern.check(piece));
    assert!(body.expect("the body").whole);
    assert_eq!((pattern.length(), pattern.fault()), (ENDLESS, None));
}

#[test]
fn an_upstream_that_is_read_from_does_not_get_stuck() {
    let (upstream, reported) = torrent();
    let gateway = Gateway::start("", &[&upstream]);
    assert!(get(gateway.address(), "/").body.whole);
    assert_eq!(reported.recv_timeout(GUARD).expect("a report"), None);
}

#[test]
fn an_upstream_that_does_not_read_stops_the_client() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let upstream = Upstream::start("app-1", move |exchange| {
        released.lock().expect("lock").recv_timeout(GUARD).map_err(|_| ErrorKind::TimedOut)?;
        let mut pattern = Pattern::new();
        let body = exchange.body_into(&mut |piece| pattern.check(piece))?;
        exchange.ok(&format!("{} {:?}", body.length, pattern.fault()))
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("POST", "/", &format!("Content-Length: {ENDLESS}\r\n"))).expect("send");
    wire.stream().set_write_timeout(Some(STUCK)).expect("set a timeout");
    let mut pattern = Pattern::new();
    let mut stuck = false;
    while pattern.length() < ENDLESS {
        let left = usize::try_from(ENDLESS - pattern.length()).expect("it fits");
        let mut piece = pattern.next(left);
        while !piece.is_empty() {
            match wire.write(piece) {
                Ok(count) => piece = &piece[count..],
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) && !stuck => {
                    stuck = true;
                    release.send(()).expect("let the upstream read");
                    wire.stream().set_write_timeout(Some(GUARD)).expect("set a timeout");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(stuck, "the gateway took {ENDLESS} bytes that nobody reads");
    assert_eq!(wire.response("POST").text(), format!("{ENDLESS} None"));
}
