//! What HTTP/2 must not carry into HTTP/1.1, written frame by frame.

use crate::failover::assert_reason;
use crate::support::client::get;
use crate::support::frames::{Field, Frames, Outcome};
use crate::support::gateway::Gateway;
use crate::support::h2::{self, fetch, prior_knowledge};
use crate::support::head::latin1;
use crate::support::upstream::Upstream;

pub const GET: [Field<'static>; 4] =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"app.example"), (b":path", b"/x")];

/// The fields of [`GET`] with one replaced.
pub fn with(name: &'static [u8], value: &'static [u8]) -> Vec<Field<'static>> {
    GET.into_iter().map(|field| if field.0 == name { (name, value) } else { field }).collect()
}

/// The fields of [`GET`] and one more.
fn and(name: &'static [u8], value: &'static [u8]) -> Vec<Field<'static>> {
    GET.into_iter().chain([(name, value)]).collect()
}

fn without(name: &'static [u8]) -> Vec<Field<'static>> {
    GET.into_iter().filter(|field| field.0 != name).collect()
}

#[test]
fn a_valid_request_passes() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let outcome = Frames::connect(gateway.address()).request(&GET, None);
    assert_eq!(outcome, Outcome::Status(200));
    assert_eq!(upstream.only().head.start_line(), "GET /x HTTP/1.1");
    let outcome = Frames::connect(gateway.address()).request(&with(b":method", b"POST"), Some(b"hello"));
    assert_eq!(outcome, Outcome::Status(200));
    assert_eq!(upstream.last().body.expect("a body").text(), "hello");
}

/// Each request is refused by a response, a reset or the end, and nothing of it reaches the upstream.
fn refuses(requests: &[Vec<Field<'static>>], body: Option<&[u8]>) {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let mut faults = Vec::new();
    for fields in requests {
        let before = upstream.seen().len();
        let outcome = Frames::connect(gateway.address()).request(fields, body);
        get(gateway.address(), "/in-order");
        let seen: Vec<_> = upstream.seen().split_off(before);
        let passed: Vec<_> = seen.iter().filter(|seen| seen.head.target() != "/in-order" && seen.whole()).collect();
        if !outcome.refused() || !passed.is_empty() {
            let shown: Vec<_> = fields.iter().map(|field| (latin1(field.0), latin1(field.1))).collect();
            faults.push(format!("{shown:?}: {outcome:?}, upstream {passed:?}"));
        }
    }
    assert!(faults.is_empty(), "{} are not refused:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn lines_cannot_be_broken() {
    refuses(
        &[
            and(b"x", b"a\r\nX-Injected: 1"),
            and(b"x", b"a\nb"),
            and(b"x", b"a\0b"),
            and(b"x\r\ny", b"a"),
            and(b"x y", b"a"),
            and(b"x:", b"a"),
            and(b"X-Upper", b"a"),
            with(b":path", b"/x HTTP/1.1\r\nX-Injected: 1\r\n\r\n"),
            with(b":path", b"/x y"),
            with(b":path", b"x"),
            with(b":path", b""),
            with(b":path", b"*"),
            with(b":method", b"GET / HTTP/1.1\r\nX: "),
            with(b":method", b"G T"),
            with(b":authority", b"a\r\nX-Injected: 1"),
            with(b":authority", b"a b"),
            with(b":authority", b"a/b"),
        ],
        None,
    );
}

#[test]
fn connection_fields_are_malformed() {
    refuses(
        &[
            and(b"connection", b"close"),
            and(b"transfer-encoding", b"chunked"),
            and(b"upgrade", b"h2c"),
            and(b"keep-alive", b"5"),
            and(b"proxy-connection", b"keep-alive"),
        ],
        None,
    );
}

#[test]
fn pseudo_fields_are_checked() {
    refuses(
        &[
            without(b":method"),
            without(b":path"),
            without(b":scheme"),
            without(b":authority"),
            and(b":path", b"/y"),
            and(b":status", b"200"),
            and(b":odd", b"x"),
            vec![(b":method", b"CONNECT"), (b":authority", b"app.example:443")],
            vec![
                (b":method", b"GET"),
                (b"x", b"y"),
                (b":scheme", b"http"),
                (b":authority", b"app.example"),
                (b":path", b"/x"),
            ],
        ],
        None,
    );
}

#[test]
fn lengths_are_checked() {
    let post = |length: &'static [u8]| -> Vec<Field<'static>> {
        with(b":method", b"POST").into_iter().chain([(&b"content-length"[..], length)]).collect()
    };
    refuses(&[post(b"4"), post(b"6"), post(b"0"), post(b"-5"), post(b"5, 6"), post(b"x")], Some(b"hello"));
}

#[test]
fn the_authority_speaks_for_the_host() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let outcome = Frames::connect(gateway.address()).request(&and(b"host", b"evil.example"), None);
    if outcome.refused() {
        assert_eq!(upstream.raw(), b"");
    } else {
        assert_eq!(upstream.only().head.all("host"), ["app.example"]);
    }
    let alone: Vec<_> = without(b":authority").into_iter().chain([(&b"host"[..], &b"app.example"[..])]).collect();
    assert_eq!(Frames::connect(gateway.address()).request(&alone, None), Outcome::Status(200));
    assert_eq!(upstream.last().head.all("host"), ["app.example"]);
}

#[test]
fn te_names_trailers_or_nothing() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let outcome = Frames::connect(gateway.address()).request(&and(b"te", b"gzip"), None);
    assert!(outcome.refused() || !upstream.only().head.has("te"), "{outcome:?}");
    let outcome = Frames::connect(gateway.address()).request(&and(b"te", b"trailers"), None);
    assert_eq!(outcome, Outcome::Status(200));
}

#[tokio::test]
async fn a_head_over_the_limit_is_told_so() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("[limits]\nheader_bytes = 4096", &[&upstream]);
    let sender = prior_knowledge(gateway.address()).await;
    for (length, status) in [(3000, 200), (5000, 431)] {
        let mut request = h2::get("/");
        request.headers_mut().insert("x", "y".repeat(length).parse().expect("a value"));
        let answer = fetch(&sender, request).await;
        assert_eq!(answer.status, status, "{length} bytes: {answer:?}");
        if status == 431 {
            let content_types: Vec<_> = answer.all("content-type").into_iter().map(str::to_owned).collect();
            assert_reason(&content_types, &answer.text());
        }
    }
    assert_eq!(upstream.only().head.all("x"), ["y".repeat(3000)]);
}
