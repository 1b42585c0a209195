//! TLS in front.

use std::fs;
use std::net::TcpStream;

use crate::support::certificate::Certificate;
use crate::support::client::{connect, request};
use crate::support::gateway::{Gateway, config};
use crate::support::h2::{fetch, get, over_tls};
use crate::support::upstream::Upstream;
use crate::support::visitor::{COOKIE, token};

fn start(upstreams: &[&Upstream]) -> (Gateway, Certificate) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = Certificate::new();
    let table = certificate.table(directory.path());
    (Gateway::within(directory, &config(&table, upstreams)), certificate)
}

#[test]
fn the_listener_says_https() {
    let (gateway, _) = start(&[&Upstream::named("app-1")]);
    assert_eq!(gateway.listeners()[0].0, "https");
}

#[test]
fn the_cookie_is_secure() {
    let upstream = Upstream::named("app-1");
    let (gateway, certificate) = start(&[&upstream]);
    let mut wire = certificate.connect(gateway.address(), &["http/1.1"]);
    let first = wire.exchange(request("GET", "/", ""));
    let cookie = first.head.one("set-cookie").expect("a cookie");
    assert_eq!(&cookie[COOKIE.len() + 1 + 56..], "; HttpOnly; SameSite=Lax; Secure; Path=/");
    assert_eq!(upstream.only().head.all("x-forwarded-proto"), ["https"]);
    assert!(upstream.only().head.one("forwarded").expect("forwarded").contains("proto=https"));

    let again = request("GET", "/", &format!("Cookie: {COOKIE}={}\r\n", token(&first.head).expect("a cookie")));
    assert!(!wire.exchange(again).head.has("set-cookie"));
}

#[tokio::test]
async fn alpn_chooses_http_2() {
    let upstreams = Upstream::several(5);
    let (gateway, certificate) = start(&upstreams.iter().collect::<Vec<_>>());
    let answer = fetch(&over_tls(gateway.address(), &certificate).await, get("/")).await;
    assert_eq!(answer.status, 200);
    let cookie = answer.all("set-cookie").concat();
    assert_eq!(&cookie[COOKIE.len() + 1 + 56..], "; HttpOnly; SameSite=Lax; Secure; Path=/");
    let upstream = upstreams.iter().find(|upstream| upstream.name == answer.text()).expect("it");
    assert_eq!(upstream.only().head.all("x-forwarded-proto"), ["https"]);

    let pair = cookie.split(';').next().expect("a pair").to_owned();
    for _ in 0..5 {
        let mut again = get("/");
        again.headers_mut().insert("cookie", pair.parse().expect("a cookie"));
        let again = fetch(&over_tls(gateway.address(), &certificate).await, again).await;
        assert_eq!((again.text(), again.all("set-cookie").len()), (answer.text(), 0));
    }
}

#[test]
fn without_alpn_http_1_1_is_spoken() {
    let upstream = Upstream::named("app-1");
    let (gateway, certificate) = start(&[&upstream]);
    assert_eq!(certificate.connect(gateway.address(), &[]).exchange(request("GET", "/", "")).status(), 200);
}

#[test]
fn plain_text_is_not_served() {
    let upstream = Upstream::named("app-1");
    let (gateway, certificate) = start(&[&upstream]);
    let mut wire = connect(gateway.address());
    wire.send(request("GET", "/", "")).expect("send");
    let _ = wire.rest();
    assert_eq!(upstream.raw(), b"");
    assert_eq!(certificate.connect(gateway.address(), &[]).exchange(request("GET", "/", "")).status(), 200);
}

#[test]
fn a_stalled_handshake_delays_no_other_connection() {
    let upstream = Upstream::named("app-1");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = Certificate::new();
    let settings = format!("workers = 1\n{}", certificate.table(directory.path()));
    let gateway = Gateway::within(directory, &config(&settings, &[&upstream]));
    let _silent: Vec<_> = (0..10).map(|_| TcpStream::connect(gateway.address()).expect("connect")).collect();
    assert_eq!(certificate.connect(gateway.address(), &[]).exchange(request("GET", "/", "")).status(), 200);
}

#[test]
fn a_key_that_is_none_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let table = Certificate::new().table(directory.path());
    fs::write(directory.path().join("tls.key"), "no key").expect("write");
    let file = directory.path().join("gateway.toml");
    fs::write(&file, config(&table, &[&Upstream::named("app-1")])).expect("write");
    let output = crate::support::gateway::run(directory.path(), &["check", "--config", "gateway.toml"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("tls.key"), "{output:?}");
}
