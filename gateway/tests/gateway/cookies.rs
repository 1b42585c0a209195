//! The gateway's cookie byte for byte, and the application's cookies unchanged.

use std::net::SocketAddr;

use crate::support::client::{Response, exchange, get, request};
use crate::support::gateway::Gateway;
use crate::support::head::latin1;
use crate::support::upstream::Upstream;
use crate::support::visitor::token;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn with_cookie(address: SocketAddr, cookie: impl AsRef<[u8]>) -> Response {
    let mut bytes = b"GET / HTTP/1.1\r\nHost: app.example\r\nCookie: ".to_vec();
    bytes.extend_from_slice(cookie.as_ref());
    bytes.extend_from_slice(b"\r\n\r\n");
    exchange(address, bytes)
}

fn first_token(gateway: &Gateway) -> String {
    token(&get(gateway.address(), "/").head).expect("a cookie on the first visit")
}

#[test]
fn the_first_visit_sets_exactly_this() {
    let upstreams = Upstream::several(2);
    let gateway = Gateway::before(&upstreams);
    let cookies = get(gateway.address(), "/").head.all("set-cookie");
    let [cookie] = &cookies[..] else { panic!("{cookies:?}") };
    let (value, attributes) = cookie.strip_prefix("homing=").expect("its name").split_at(56);
    assert!(value.bytes().all(|byte| ALPHABET.contains(&byte)), "{value}");
    assert_eq!(attributes, "; HttpOnly; SameSite=Lax; Path=/");
}

#[test]
fn later_visits_set_nothing() {
    let upstreams = Upstream::several(2);
    let gateway = Gateway::before(&upstreams);
    let token = first_token(&gateway);
    for _ in 0..10 {
        let response = with_cookie(gateway.address(), format!("homing={token}"));
        assert_eq!(response.head.all("set-cookie"), [""; 0]);
    }
}

#[test]
fn secure_is_by_choice() {
    let upstreams = Upstream::several(1);
    for (choice, secure) in [("auto", false), ("never", false), ("always", true)] {
        let gateway = Gateway::start(&format!("[affinity]\nsecure = \"{choice}\""), &[&upstreams[0]]);
        let cookie = get(gateway.address(), "/").head.one("set-cookie").expect("a cookie");
        assert_eq!(cookie.contains("; Secure"), secure, "{choice}: {cookie}");
    }
}

#[test]
fn the_name_is_by_choice() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("[affinity]\ncookie = \"__Host-place\"\nsecure = \"always\"", &[&upstream]);
    let cookie = get(gateway.address(), "/").head.one("set-cookie").expect("a cookie");
    let (name, rest) = cookie.split_once('=').expect("a value");
    assert_eq!(name, "__Host-place");
    assert_eq!(&rest[56..], "; HttpOnly; SameSite=Lax; Secure; Path=/");
    let again = with_cookie(gateway.address(), format!("homing=mine; {name}={}", &rest[..56]));
    assert!(!again.head.has("set-cookie"));
    assert_eq!(upstream.last().head.all("cookie"), ["homing=mine"]);
}

#[test]
fn the_cookie_never_reaches_the_application() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let t = first_token(&gateway);
    for (sent, left) in [
        (format!("homing={t}"), None),
        (format!("homing={t}; a=1"), Some("a=1")),
        (format!("a=1; homing={t}"), Some("a=1")),
        (format!("a=1; homing={t}; b=2"), Some("a=1; b=2")),
        (format!("a=1;homing={t};b=2"), Some("a=1;b=2")),
        (format!("homing={t}; a=1; homing={t}; b=2; homing={t}"), Some("a=1; b=2")),
        ("a=1; homing=garbage; b=2".to_owned(), Some("a=1; b=2")),
        ("a=1; homing=; b=2".to_owned(), Some("a=1; b=2")),
        (format!("a=\"x y\"; homing={t}; b=homing=1"), Some("a=\"x y\"; b=homing=1")),
        (format!("xhoming=1; homing={t}; homing2=2; Homing=3"), Some("xhoming=1; homing2=2; Homing=3")),
    ] {
        assert_eq!(with_cookie(gateway.address(), &sent).status(), 200);
        assert_eq!(upstream.last().head.one("cookie").as_deref(), left, "of {sent}");
    }
}

/// The pairs of a cookie header, without the spacing.
fn pairs(values: &[String]) -> Vec<String> {
    let joined = values.join(";");
    joined.split(';').map(|pair| pair.trim_matches([' ', '\t']).to_owned()).filter(|pair| !pair.is_empty()).collect()
}

#[test]
fn the_applications_cookies_pass_byte_for_byte() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let t = first_token(&gateway);
    let odd: [&[u8]; 6] = [
        b"a=\x80\xff; b=\"q\"; c",
        b"a = 1 ;  b= 2;;c=;=d",
        b"a=1;b=2;",
        b"json={\"a\":[1,2]}; pct=%3B%20; comma=a,b",
        b"\"; a='; b=\\",
        b"a=1;\tb=2",
    ];
    for sent in odd {
        with_cookie(gateway.address(), sent);
        assert_eq!(upstream.last().head.all("cookie"), [latin1(sent)]);

        let among = [sent, b"; homing=", t.as_bytes(), b"; z=26"].concat();
        with_cookie(gateway.address(), &among);
        let mut expected = pairs(&[latin1(sent)]);
        expected.push("z=26".to_owned());
        assert_eq!(pairs(&upstream.last().head.all("cookie")), expected, "of {}", latin1(&among));
    }
}

#[test]
fn the_cookie_is_found_in_a_second_header() {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::before(&upstreams);
    let first = get(gateway.address(), "/");
    let token = token(&first.head).expect("a cookie");
    for _ in 0..5 {
        let fields = format!("Cookie: a=1\r\nCookie: b=2; homing={token}\r\n");
        let response = exchange(gateway.address(), request("GET", "/", &fields));
        assert_eq!(response.text(), first.text());
        assert!(!response.head.has("set-cookie"));
        let upstream = upstreams.iter().find(|upstream| upstream.name == first.text()).expect("it");
        assert_eq!(pairs(&upstream.last().head.all("cookie")), ["a=1", "b=2"]);
    }
}

#[test]
fn the_applications_set_cookies_are_untouched() {
    let own =
        ["sid=\"a b\"; Path=/app; Max-Age=60", "homing2=x;Secure;  HttpOnly", "odd=\u{80}\u{ff}, c=d; SameSite=None"];
    let fields: Vec<u8> = own.join("\r\nSet-Cookie: ").chars().map(|each| u32::from(each) as u8).collect();
    let response = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: ", &fields[..], b"\r\n\r\n"].concat();
    let upstream = Upstream::start("app-1", move |exchange| exchange.answer(&response));
    let gateway = Gateway::start("", &[&upstream]);

    let first = get(gateway.address(), "/");
    let given = token(&first.head).expect("a cookie");
    let theirs: Vec<_> = first.head.all("set-cookie").into_iter().filter(|it| !it.starts_with("homing=")).collect();
    assert_eq!(theirs, own);

    let second = with_cookie(gateway.address(), format!("homing={given}"));
    assert_eq!(second.head.all("set-cookie"), own);
}

#[test]
fn a_response_of_any_status_sets_it() {
    let upstream = Upstream::start("app-1", |exchange| {
        let status = exchange.head.target()[1..].to_owned();
        exchange.answer(format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n"))
    });
    let gateway = Gateway::start("", &[&upstream]);
    for status in [200, 302, 401, 404, 500, 503] {
        let response = get(gateway.address(), &format!("/{status}"));
        assert_eq!(response.status(), status);
        assert!(token(&response.head).is_some(), "{status}");
    }
}

#[test]
fn a_tampered_cookie_is_no_cookie() {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::before(&upstreams);
    let genuine = first_token(&gateway);
    for position in 0..genuine.len() {
        for flip in [1, 32] {
            let mut forged = genuine.clone().into_bytes();
            let digit = ALPHABET.iter().position(|&byte| byte == forged[position]).expect("base64url");
            forged[position] = ALPHABET[digit ^ flip];
            let forged = latin1(&forged);
            let response = with_cookie(gateway.address(), format!("homing={forged}"));
            let given = token(&response.head).unwrap_or_else(|| panic!("{forged} was believed, of {genuine}"));
            assert_ne!(given, forged);
            assert_ne!(given, genuine);
            // Bytes 9 to 17 are the session id, characters 12 to 22 hold nothing else: a new session.
            assert_ne!(given[12..22], genuine[12..22]);
        }
    }
    assert!(with_cookie(gateway.address(), format!("homing={genuine}")).head.all("set-cookie").is_empty());
}

#[test]
fn what_is_no_token_is_no_cookie() {
    let upstreams = Upstream::several(2);
    let gateway = Gateway::before(&upstreams);
    let genuine = first_token(&gateway);
    let (longer, padded) = (format!("{genuine}A"), format!("{genuine}=="));
    for forged in ["", "A", &genuine[1..], &genuine[..55], &longer, &padded, &"A".repeat(56), &"-".repeat(5000)] {
        let response = with_cookie(gateway.address(), format!("homing={forged}"));
        assert_eq!(response.status(), 200);
        assert!(token(&response.head).is_some(), "{forged:?} was believed");
    }
}

#[test]
fn a_strangers_cookie_is_no_cookie() {
    let upstreams = Upstream::several(2);
    let (ours, theirs) = (Gateway::before(&upstreams), Gateway::before(&upstreams));
    let foreign = first_token(&theirs);
    assert!(token(&with_cookie(ours.address(), format!("homing={foreign}")).head).is_some());
    assert!(token(&with_cookie(theirs.address(), format!("homing={foreign}")).head).is_none());
}

#[test]
fn up_to_four_cookies_of_the_name_are_tried() {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::before(&upstreams);
    let first = get(gateway.address(), "/");
    let genuine = token(&first.head).expect("a cookie");
    for before in 0..8 {
        let cookie = format!("{}homing={genuine}", "homing=none; ".repeat(before));
        let response = with_cookie(gateway.address(), cookie);
        assert_eq!(token(&response.head).is_none(), before < 4, "{before} before the genuine one");
        assert!(before >= 4 || response.text() == first.text());
    }
}
