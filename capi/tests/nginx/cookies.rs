//! The cookie: when it is set, which ones are accepted, and the application's own cookies.

use crate::support::test;
use std::net::SocketAddr;

use super::server::{Nginx, Setup, servers};
use crate::support::client::{Response, exchange, get, request};
use crate::support::upstream::Upstream;
use crate::support::visitor::{Visitor, token};

/// With one worker, so that the log is in the order of the requests.
fn homing(options: &str, upstreams: &[Upstream]) -> Setup {
    let app = format!("homing key_file=homing.keys policy=round_robin {options}; {}", servers(upstreams));
    Setup { workers: 1, ..Setup::of(app) }
}

fn with(address: SocketAddr, fields: &str) -> Response {
    exchange(address, request("GET", "/", fields))
}

#[test]
fn it_is_exactly_the_gateway_s() {
    let upstreams = Upstream::several(2);
    for (options, attributes) in [
        ("", "; HttpOnly; SameSite=Lax; Path=/"),
        ("secure=always path=/shop same_site=strict", "; HttpOnly; SameSite=Strict; Secure; Path=/shop"),
        ("domain=example.com", "; HttpOnly; SameSite=Lax; Path=/; Domain=example.com"),
        ("same_site=none secure=always partitioned=true", "; HttpOnly; SameSite=None; Secure; Path=/; Partitioned"),
    ] {
        let Some(nginx) = Nginx::start(&homing(options, &upstreams)) else { return };
        let cookie = get(nginx.address, "/").head.one("set-cookie").expect("a cookie");
        let (value, rest) = cookie.strip_prefix("homing=").expect("its name").split_at(56);
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{value}");
        let mut sorted: Vec<_> = rest.split("; ").collect();
        let mut expected: Vec<_> = attributes.split("; ").collect();
        sorted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sorted, expected);
    }
}

#[test]
fn an_unsigned_or_altered_cookie_is_replaced() {
    let upstreams = Upstream::several(3);
    let Some(nginx) = Nginx::start(&homing("", &upstreams)) else { return };
    let Some(stranger) = Nginx::start(&homing("", &upstreams)) else { return };
    let mut visitor = Visitor::new(nginx.address, "v");
    let pinned = visitor.visit().text();
    let good = visitor.token.expect("a cookie");
    let altered = |at: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("ASCII")
    };
    let foreign = token(&get(stranger.address, "/").head).expect("a cookie");
    let mut asked = 1;
    for (value, decisions) in [
        ("app-1".to_owned(), &["malformed"][..]),
        (String::new(), &["malformed", "new"]),
        (good[..55].to_owned(), &["malformed"]),
        (format!("{good}A"), &["malformed"]),
        (altered(2), &["bad_tag"]),
        (altered(20), &["bad_tag"]),
        (altered(55), &["bad_tag"]),
        (foreign, &["bad_tag", "unknown_key"]),
    ] {
        let answer = with(nginx.address, &format!("Cookie: homing={value}\r\n"));
        asked += 1;
        assert_eq!(answer.status(), 200);
        let new = token(&answer.head).unwrap_or_else(|| panic!("{value:?} is not replaced"));
        assert!(new != good && new != value);
        let decision = nginx.last(asked).decision;
        assert!(decisions.contains(&&*decision), "{value:?} is {decision}");
        // The new token is valid.
        let again = with(nginx.address, &format!("Cookie: homing={new}\r\n"));
        asked += 1;
        assert_eq!((token(&again.head), again.text()), (None, answer.text()));
    }
    // The control: a token that was not altered is kept.
    let answer = with(nginx.address, &format!("Cookie: homing={good}\r\n"));
    assert_eq!((token(&answer.head), answer.text()), (None, pinned));
    assert_eq!(nginx.complaints(), [""; 0]);
}

#[test]
fn it_is_found_among_others() {
    let upstreams = Upstream::several(3);
    let Some(nginx) = Nginx::start(&homing("cookie=place", &upstreams)) else { return };
    let first = get(nginx.address, "/");
    let cookie = first.head.one("set-cookie").expect("a cookie");
    let (cookie, _) = cookie.split_once(';').expect("attributes");
    assert!(cookie.starts_with("place="));
    let long = "x".repeat(7000);
    for fields in [
        format!("Cookie: a=1; {cookie}; b=2\r\n"),
        format!("Cookie: a=1\r\nCookie: b=2; {cookie}\r\nCookie: c=3\r\n"),
        format!("Cookie: place=forged; {cookie}\r\n"),
        format!("Cookie: long={long}; {cookie}\r\n"),
    ] {
        for _ in 0..3 {
            let answer = with(nginx.address, &fields);
            assert_eq!((answer.head.all("set-cookie").len(), answer.text()), (0, first.text()));
        }
    }
}

/// A Cookie header beyond the library's limit does not make a request fail.
#[test]
fn huge_ones_are_ignored() {
    let upstreams = Upstream::several(1);
    let mut setup = homing("", &upstreams);
    setup.server += " large_client_header_buffers 4 128k; proxy_set_header Cookie \"\";";
    let Some(nginx) = Nginx::start(&setup) else { return };
    let answer = with(nginx.address, &format!("Cookie: a={}\r\n", "x".repeat(100_000)));
    assert_eq!((answer.status(), answer.head.all("set-cookie").len()), (200, 1));
}

#[test]
fn the_application_s_own_stay() {
    let upstream = Upstream::start("app", |exchange| {
        let cookies = "Set-Cookie: session=1; Path=/\r\nSet-Cookie: theme=dark\r\n";
        exchange.answer(format!("HTTP/1.1 200 OK\r\n{cookies}Content-Length: 0\r\n\r\n"))
    });
    let upstreams = [upstream];
    let Some(nginx) = Nginx::start(&homing("", &upstreams)) else { return };
    let mut cookies = get(nginx.address, "/").head.all("set-cookie");
    cookies.retain(|cookie| !cookie.starts_with("homing="));
    assert_eq!(cookies, ["session=1; Path=/", "theme=dark"]);
    let first = get(nginx.address, "/");
    assert_eq!(first.head.all("set-cookie").len(), 3);
    let again = with(nginx.address, &format!("Cookie: homing={}\r\n", token(&first.head).expect("a cookie")));
    assert_eq!(again.head.all("set-cookie"), ["session=1; Path=/", "theme=dark"]);
}

/// The README's map.
#[test]
fn the_readme_s_map_removes_it() {
    let upstreams = Upstream::several(1);
    let mut setup = homing("", &upstreams);
    let readme = include_str!("../../../examples/nginx/README.md");
    let map = readme.split("```nginx\n").find(|block| block.starts_with("map $http_cookie")).expect("a map");
    let (map, header) = map.split("```").next().expect("its end").split_once("\n\n").expect("and its use");
    setup.http = format!("{map}\n{}", setup.http);
    setup.server += header;
    let Some(nginx) = Nginx::start(&setup) else { return };
    let token = token(&get(nginx.address, "/").head).expect("a cookie");
    let own = format!("homing={token}");
    for (sent, passed) in [
        (own.clone(), None),
        (format!("{own}; a=1"), Some("a=1")),
        (format!("a=1; {own}"), Some("a=1")),
        (format!("a=1; {own}; b=2"), Some("a=1; b=2")),
        ("a=1; b=2".to_owned(), Some("a=1; b=2")),
        ("xhoming=1; a=homing=2".to_owned(), Some("xhoming=1; a=homing=2")),
    ] {
        let answer = with(nginx.address, &format!("Cookie: {sent}\r\n"));
        assert_eq!((answer.status(), answer.head.has("set-cookie")), (200, !sent.contains(&own)));
        assert_eq!(upstreams[0].last().head.one("cookie").as_deref(), passed, "of {sent}");
    }
}
