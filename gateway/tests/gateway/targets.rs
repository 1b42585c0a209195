//! Targets and methods are forwarded unchanged; an absolute target determines the host.

use crate::support::client::{connect, exchange, get, request};
use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;

#[test]
fn paths_and_queries_pass_byte_for_byte() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    for target in [
        "/",
        "/?",
        "/a?",
        "/a%2Fb//c/./d/../e;v=1?x=%00&y=a+b&&z",
        "//a",
        "/a//",
        "/..;/x",
        "/%zz",
        "/a?b?c=/d:e@f",
        "/~!$&'()*+,;=:@-._",
        "/a?q=[1]{2}|3^4`5",
        "/http://other.example/",
    ] {
        assert_eq!(get(gateway.address(), target).status(), 200, "{target}");
        assert_eq!(upstream.last().head.start_line(), format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn methods_pass() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "M-SEARCH", "x"] {
        let response = exchange(gateway.address(), request(method, "/", "Content-Length: 0\r\n"));
        assert_eq!(response.status(), 200, "{method}");
        assert_eq!(upstream.last().head.method(), method);
    }
}

#[test]
fn options_of_the_whole_server_pass() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    assert_eq!(exchange(gateway.address(), request("OPTIONS", "*", "")).status(), 200);
    assert_eq!(upstream.only().head.start_line(), "OPTIONS * HTTP/1.1");
    assert_eq!(upstream.only().head.all("host"), ["app.example"]);
}

#[test]
fn an_absolute_target_replaces_the_host() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    for (target, host, passed) in [
        ("http://right.example/x?y=1", "right.example", "/x?y=1"),
        ("http://right.example:8080/x", "right.example:8080", "/x"),
        ("http://right.example", "right.example", "/"),
        ("http://right.example?y=1", "right.example", "/?y=1"),
        ("HTTP://right.example/", "right.example", "/"),
        ("http://app.example/x", "app.example", "/x"),
    ] {
        let response = exchange(gateway.address(), request("GET", target, ""));
        assert_eq!(response.status(), 200, "{target}");
        let head = upstream.last().head;
        assert_eq!(head.all("host"), [host], "of {target}");
        assert_eq!(head.target(), passed, "of {target}");
        assert_eq!(head.all("x-forwarded-host"), [host], "of {target}");
    }
}

#[test]
fn an_absolute_target_excuses_no_missing_or_second_host() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: a b\r\n"] {
        let bytes = format!("GET http://right.example/ HTTP/1.1\r\n{hosts}\r\n");
        assert_eq!(exchange(gateway.address(), bytes).status(), 400, "{hosts:?}");
    }
    assert_eq!(upstream.raw(), b"");
}

#[test]
fn the_targets_user_never_becomes_a_host() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let response = connect(gateway.address()).exchange(request("GET", "http://user:secret@right.example/", ""));
    if response.status() == 200 {
        assert_eq!(upstream.only().head.all("host"), ["right.example"]);
    } else {
        assert_eq!((response.status(), upstream.raw().len()), (400, 0));
    }
}
