//! Bodies of any size in constant memory, and no truncated body that looks complete.

use std::io::ErrorKind;
use std::net::Shutdown;

use crate::support::client::{connect, get, request};
use crate::support::gateway::Gateway;
use crate::support::pattern::{MIB, Pattern};
use crate::support::upstream::{Exchange, Next, Upstream};
use crate::support::wire::Body;

const LARGE: u64 = 200 * MIB as u64;

/// The allowed growth of the gateway's peak memory while 200 MiB pass.
const GROWTH: u64 = 32 * MIB as u64;

/// Sends the pattern by `send`, in chunks or bare.
fn pour(chunked: bool, mut send: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut pattern = Pattern::new();
    while pattern.length() < LARGE {
        let left = usize::try_from(LARGE - pattern.length()).unwrap_or(usize::MAX);
        let piece = pattern.next(left);
        if chunked {
            let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
            send(&chunk)?;
        } else {
            send(piece)?;
        }
    }
    if chunked { send(b"0\r\n\r\n") } else { Ok(()) }
}

fn framing(chunked: bool) -> String {
    if chunked { "Transfer-Encoding: chunked\r\n".to_owned() } else { format!("Content-Length: {LARGE}\r\n") }
}

/// Downloads and uploads 200 MiB.
fn large(chunked: bool) {
    let upstream = Upstream::start("app-1", move |exchange| match exchange.head.target().as_str() {
        "/down" => {
            exchange.answer(format!("HTTP/1.1 200 OK\r\n{}\r\n", framing(chunked)))?;
            pour(chunked, |piece| exchange.send(piece))?;
            Ok(Next::Request)
        }
        "/up" => {
            let mut pattern = Pattern::new();
            let body = exchange.body_into(&mut |piece| pattern.check(piece))?;
            exchange.ok(&format!("{} {:?} {:?}", body.whole, pattern.length(), pattern.fault()))
        }
        _ => exchange.ok("warm"),
    });
    let gateway = Gateway::start("", &[&upstream]);
    get(gateway.address(), "/");
    let before = gateway.peak_memory();

    let mut wire = connect(gateway.address());
    wire.send(request("GET", "/down", "")).expect("send");
    let (_, head) = wire.response_head();
    let mut pattern = Pattern::new();
    let body = wire.body_into(head.of_response("GET").expect("a framing"), &mut |piece| pattern.check(piece));
    assert!(body.expect("the body").whole);
    assert_eq!((pattern.length(), pattern.fault()), (LARGE, None));

    wire.send(request("POST", "/up", &framing(chunked))).expect("send");
    pour(chunked, |piece| wire.send(piece)).expect("send");
    assert_eq!(wire.response("POST").text(), format!("true {LARGE} None"));

    // The kernel counts in batches, so that a peak that has not moved may read a little lower.
    let growth = gateway.peak_memory().saturating_sub(before);
    assert!(growth < GROWTH, "the gateway's peak grew by {growth} bytes");
}

#[test]
fn two_hundred_mebibytes_by_length() {
    large(false);
}

#[test]
fn two_hundred_mebibytes_in_chunks() {
    large(true);
}

/// The body that the client gets if the upstream sends `message` and closes.
fn cut(message: &'static str) -> (Option<u16>, Body) {
    let upstream = Upstream::start("app-1", move |exchange| {
        exchange.answer(message)?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("GET", "/", "")).expect("send");
    match wire.head() {
        Ok(Some(head)) => {
            let framing = head.of_response("GET").expect("a framing");
            (Some(head.status()), wire.body(framing).expect("what there is of the body"))
        }
        _ => (None, Body::default()),
    }
}

#[test]
fn a_response_cut_short_is_never_ended_as_whole() {
    for message in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this much",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello",
    ] {
        let (status, body) = cut(message);
        assert!(status == Some(502) || !body.whole, "{body:?} of {message:?}");
    }
}

#[test]
fn a_response_not_cut_short_is_whole() {
    for message in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    ] {
        let (status, body) = cut(message);
        assert_eq!((status, body.whole, body.text().as_str()), (Some(200), true, "hello"));
    }
}

/// The status that a client gets if the upstream sends those fields and a chunked body.
fn status_of(fields: &'static str) -> u16 {
    let upstream = Upstream::start("app-1", move |exchange| {
        exchange.answer(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    get(gateway.address(), "/").status()
}

#[test]
fn a_response_without_a_clear_length_is_a_bad_gateway() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: 18446744073709551616",
    ] {
        assert_eq!(status_of(fields), 502, "of {fields:?}");
    }
}

#[test]
fn a_response_in_a_coding_that_is_not_undone_is_a_bad_gateway() {
    // Without its Transfer-Encoding the client would take the coded bytes for the content.
    for fields in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: identity, chunked",
    ] {
        assert_eq!(status_of(fields), 502, "of {fields:?}");
    }
}

#[test]
fn a_coding_overrides_a_length() {
    // RFC 9112, 6.3: of both, the length must not travel on. Refusing the response is as good.
    let (status, body) =
        cut("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert!(status == Some(502) || (body.whole && body.text() == "hello"), "{status:?} {body:?}");
}

/// What the upstream gets of an upload that its client aborts.
fn broken_off(upload: &str) -> Option<Body> {
    let (report, reported) = std::sync::mpsc::channel();
    let upstream = Upstream::start("app-1", move |exchange: &mut Exchange| {
        let body = exchange.body();
        // The test may have ended, and with it the receiver.
        let _ = report.send(body.as_ref().ok().cloned());
        body.map_or(Err(ErrorKind::Other.into()), |_| exchange.ok("done"))
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(upload).expect("send");
    wire.stream().shutdown(Shutdown::Write).expect("break off");
    let answered = wire.head().ok().flatten().map(|head| head.status());
    assert_ne!(answered, Some(200));
    drop(wire);
    reported.try_recv().ok().or_else(|| reported.recv_timeout(crate::support::GUARD).ok()).flatten()
}

#[test]
fn an_upload_broken_off_is_never_ended_as_whole() {
    for (fields, part) in [
        ("Content-Length: 100\r\n", "only this much"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhel"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n"),
    ] {
        let body = broken_off(&(request("POST", "/", fields) + part));
        assert!(!body.as_ref().is_some_and(|body| body.whole), "{body:?} of {part:?} with {fields:?}");
    }
}
