//! The gateway of examples/dotnet over real sockets, under both runtimes: stickiness, failover, cookies, bodies.

use super::runtime::{Compiled, runtimes};
use super::upstream::{self, Upstream, field};
use crate::support::test;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Ends a test that hangs. No test measures time by it.
const GUARD: Duration = Duration::from_secs(30);

struct Gateway {
    child: Child,
    address: String,
}

impl Gateway {
    fn start(compiled: &Compiled, upstreams: &[Upstream], arguments: &[&str]) -> Self {
        let mut child = compiled
            .program("Gateway")
            .arg("http://127.0.0.1:0/")
            .args(upstreams.iter().map(|upstream| format!("{}={}", upstream.name, upstream.address)))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening on http://").map(|rest| rest.trim_end_matches('/').to_owned());
        let Some(address) = address else {
            let _ = child.kill();
            panic!("the gateway said {line:?} and {:?}", child.wait());
        };
        Self { child, address }
    }

    /// Head and body of the response; no body if it is incomplete.
    fn ask(&self, method: &str, target: &str, fields: &str, body: &[u8]) -> (String, Option<Vec<u8>>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let host = &self.address;
        write!(stream, "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{fields}{length}\r\n")
            .unwrap();
        stream.write_all(body).unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).unwrap(), 0, "the head ends: {head:?}");
        }
        let body = if method == "HEAD" { Some(Vec::new()) } else { upstream::body(&mut stream, &head) };
        if body.is_none() {
            let rest = stream.read(&mut [0]);
            let hangs = rest.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            assert!(!hangs, "what is not whole ends: {rest:?}");
        }
        (head, body)
    }

    fn get(&self, target: &str, cookie: &str) -> (String, String) {
        let fields = if cookie.is_empty() { String::new() } else { format!("cookie: {cookie}\r\n") };
        let (head, body) = self.ask("GET", target, &fields, b"");
        (head, String::from_utf8(body.expect("a whole body")).unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// Name and value of the affinity cookie in the response.
fn cookie(head: &str) -> Option<String> {
    let set = head.lines().filter_map(|line| line.split_once(':'));
    let mut ours =
        set.filter(|(name, value)| name.eq_ignore_ascii_case("set-cookie") && value.trim().starts_with("homing="));
    ours.next().map(|(_, value)| value.trim().split(';').next().unwrap().to_owned())
}

fn fleet(count: usize) -> Vec<Upstream> {
    (0..count).map(|i| Upstream::start(&format!("app-{i}"))).collect()
}

#[test]
fn visitors_stay_on_their_upstream() {
    for compiled in runtimes() {
        let upstreams = fleet(3);
        let gateway = Gateway::start(compiled, &upstreams, &[]);
        let mut visitors = HashMap::new();
        for _ in 0..12 {
            let (head, pinned) = gateway.get("/", "");
            assert_eq!(status(&head), "200", "{head}");
            visitors.insert(cookie(&head).expect("a first visit is given a cookie"), pinned);
        }
        for _ in 0..3 {
            for (cookie_value, pinned) in &visitors {
                let (head, found) = gateway.get("/", &format!("theme=dark; {cookie_value}; other=1"));
                assert_eq!(&found, pinned, "{:?}", compiled.runtime);
                assert_eq!(cookie(&head), None, "the client keeps what it has");
            }
        }
        let counts: Vec<_> = upstreams.iter().map(|upstream| upstream.asked().len()).collect();
        assert_eq!(counts, [16, 16, 16], "{:?}: least_sessions spreads them", compiled.runtime);
    }
}

#[test]
fn a_visitor_of_a_dead_instance_moves_without_an_error() {
    for compiled in runtimes() {
        let upstreams = fleet(3);
        let gateway = Gateway::start(compiled, &upstreams, &[]);
        let (head, pinned) = gateway.get("/", "");
        let first = cookie(&head).unwrap();
        upstreams.iter().find(|upstream| upstream.name == pinned).unwrap().die();
        let (head, next) = gateway.get("/", &first);
        assert_eq!(status(&head), "200", "{:?}: {head}", compiled.runtime);
        assert_ne!(next, pinned);
        let moved = cookie(&head).expect("it is told");
        for _ in 0..3 {
            let (head, found) = gateway.get("/", &moved);
            assert_eq!((found, cookie(&head)), (next.clone(), None), "{:?}: it moves once", compiled.runtime);
        }
        upstreams.iter().for_each(Upstream::die);
        let (head, _) = gateway.get("/", &moved);
        assert!(["502", "503"].contains(&status(&head)), "{head}");
    }
}

#[test]
fn cookies_have_their_attributes_and_pass_both_ways() {
    for compiled in runtimes() {
        let upstreams = fleet(1);
        let gateway = Gateway::start(compiled, &upstreams, &[]);
        let (head, _) = gateway.get("/cookies", "");
        let lines: Vec<_> = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie:")).collect();
        let ours = lines.iter().find(|line| line.contains("homing=")).expect("ours");
        for part in ["; Path=/", "; HttpOnly", "; SameSite=Lax"] {
            assert!(ours.contains(part), "{ours}");
        }
        assert!(!ours.contains("Secure"), "it came over plain HTTP: {ours}");
        let theirs: Vec<_> = lines.iter().filter(|line| line.contains("a=1") || line.contains("b=2")).collect();
        assert!(theirs.iter().any(|line| line.ends_with("a=1; Path=/")), "{:?}: {lines:?}", compiled.runtime);
        assert!(theirs.iter().any(|line| line.ends_with("b=2, 3")), "{:?}: {lines:?}", compiled.runtime);

        gateway.get("/", &format!("theme=dark; {}; basket=7", cookie(&head).unwrap()));
        let asked = upstreams[0].asked();
        let head = &asked.last().unwrap().head;
        assert_eq!(field(head, "cookie"), Some("theme=dark; basket=7"), "the token stays here");
        assert_eq!(field(head, "x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(field(head, "host"), Some(gateway.address.as_str()));

        let (head, _) = gateway.get("/", "homing=EAnUkFWdd--lWBzh_w5K45RrSdIAAAAAAARPX-LuX95qF6KmuYWwwIln");
        assert!(cookie(&head).is_some(), "a forged token is replaced");
    }
}

#[test]
fn bodies_are_not_changed() {
    for compiled in runtimes() {
        let upstreams = fleet(2);
        let gateway = Gateway::start(compiled, &upstreams, &[]);
        let sent: Vec<u8> = (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let (head, body) = gateway.ask("POST", "/echo", "content-type: application/octet-stream\r\n", &sent);
        assert_eq!(status(&head), "200", "{:?}: {head}", compiled.runtime);
        assert!(body.as_deref() == Some(&sent[..]), "{:?}: the body comes back", compiled.runtime);
        let asked: Vec<_> = upstreams.iter().flat_map(Upstream::asked).collect();
        assert_eq!(asked.len(), 1, "a POST runs once");
        assert!(asked[0].body == sent);

        let (_, streamed) = gateway.get("/stream", "");
        assert_eq!(streamed.lines().count(), 5000, "{:?}", compiled.runtime);
        let (head, _) = gateway.ask("HEAD", "/", "", b"");
        assert_eq!(status(&head), "200", "{head}");
        let (head, _) = gateway.get("/gone", "");
        assert!(head.starts_with("HTTP/1.1 404 Not Here"), "{head}");

        let (_, body) = gateway.ask("GET", "/short", "", b"");
        assert_eq!(body, None, "{:?}: a body cut short is not ended as if it were whole", compiled.runtime);
    }
}

#[test]
fn a_post_to_a_dead_instance_is_not_sent_elsewhere() {
    for compiled in runtimes() {
        let upstreams = fleet(2);
        let gateway = Gateway::start(compiled, &upstreams, &[]);
        let (head, pinned) = gateway.get("/", "");
        let first = format!("cookie: {}\r\n", cookie(&head).unwrap());
        upstreams.iter().find(|upstream| upstream.name == pinned).unwrap().die();
        upstreams.iter().for_each(|upstream| drop(upstream.asked()));
        let (head, _) = gateway.ask("POST", "/echo", &first, b"buy");
        assert_eq!(status(&head), "502", "{:?}: {head}", compiled.runtime);
        assert!(upstreams.iter().all(|upstream| upstream.asked().is_empty()), "no upstream was asked");
        let (head, body) = gateway.ask("POST", "/echo", &first, b"buy");
        assert_eq!((status(&head), body.as_deref()), ("200", Some(&b"buy"[..])), "it is known to be down by now");
    }
}

#[test]
fn gateways_with_one_key_file_share_sessions() {
    let compiled: Vec<_> = runtimes().collect();
    let upstreams = fleet(3);
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("homing.keys");
    let arguments = ["--keys", keys.to_str().unwrap(), "--policy", "p2c"];
    let gateways: Vec<_> = compiled.iter().map(|compiled| Gateway::start(compiled, &upstreams, &arguments)).collect();
    for one in &gateways {
        let (head, pinned) = one.get("/", "");
        let cookie_value = cookie(&head).unwrap();
        for other in &gateways {
            let (head, found) = other.get("/", &cookie_value);
            assert_eq!((found, cookie(&head)), (pinned.clone(), None));
        }
    }
}

#[test]
fn errors_have_a_status_and_a_text() {
    for compiled in runtimes() {
        let run = |arguments: &[&str]| {
            let output = compiled.program("Gateway").args(arguments).stdin(Stdio::null()).output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, said) = run(&["http://127.0.0.1:0/"]);
        assert!(code == Some(2) && said.starts_with("usage: "), "{said}");
        let (code, said) = run(&["http://127.0.0.1:0/", "a=127.0.0.1:1", "--policy", "nearest"]);
        assert!(code == Some(1) && said.contains("nearest"), "{said}");
        let (code, said) = run(&["http://127.0.0.1:0/", "a=127.0.0.1:1", "--keys", "/nowhere/at/all"]);
        assert!(code == Some(1) && said.contains("/nowhere/at/all"), "{said}");
    }
}
