//! The examples as a user runs them: programs of their own, between a client and scripted upstreams.

use crate::support::client::{self, Response, connect, request};
use crate::support::upstream::{Next, Upstream};
use crate::support::{GUARD, until};
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A running example.
struct Example {
    child: Child,
    address: SocketAddr,
}

impl Drop for Example {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Example {
    fn start<'u>(name: &str, upstreams: impl IntoIterator<Item = &'u Upstream>) -> Self {
        let tests = std::env::current_exe().unwrap();
        let program: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
        let mut child = Command::new(&program)
            .arg("127.0.0.1:0")
            .args(upstreams.into_iter().map(|upstream| upstream.address.to_string()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; cargo build --all-features --examples", program.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { child, address }
    }

    /// A GET on a connection of its own, with this cookie and another.
    fn visit(&self, cookie: &str) -> Response {
        client::exchange(self.address, request("GET", "/", &format!("Cookie: {cookie}; other=1\r\n")))
    }

    /// Whether a request is answered within this time.
    fn answers_within(&self, patience: Duration) -> bool {
        let mut wire = connect(self.address);
        wire.stream().set_read_timeout(Some(patience)).unwrap();
        wire.send(request("GET", "/", "")).unwrap();
        match wire.head() {
            Ok(head) => head.is_some_and(|head| head.status() == 200),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Ten sessions of some visits each stay where they began, and begin on both upstreams.
    fn keeps_sessions(&self, upstreams: &[Upstream]) {
        let mut pinned_to = Vec::new();
        for _ in 0..10 {
            let first = self.visit("a=1");
            let cookie = set_cookie(&first).expect("a first visit sets a cookie");
            for _ in 0..4 {
                let again = self.visit(&cookie);
                assert_eq!((again.text(), set_cookie(&again)), (first.text(), None));
            }
            pinned_to.push(first.text());
        }
        // The control: clients without a cookie are spread, so it is the cookie that pins a session.
        for upstream in upstreams {
            assert!(pinned_to.contains(&upstream.name), "{pinned_to:?}");
            // The token stays with the balancer.
            let cookies: Vec<_> = upstream.seen().iter().filter_map(|seen| seen.head.one("cookie")).collect();
            assert!(cookies.iter().all(|cookie| ["a=1; other=1", "other=1"].contains(&cookie.as_str())), "{cookies:?}");
        }
    }
}

fn set_cookie(response: &Response) -> Option<String> {
    let set = response.head.one("set-cookie")?;
    Some(set.split(';').next().unwrap().to_owned())
}

/// An upstream that accepts connections and reads requests, and never responds.
fn hanging(name: &str) -> Upstream {
    Upstream::start(name, |_| {
        std::thread::sleep(GUARD);
        Ok(Next::Close)
    })
}

#[test]
fn embed_is_a_complete_sticky_proxy_in_under_25_lines() {
    let lines = include_str!("../../examples/embed.rs").lines().count();
    assert!(lines < 25, "{lines} lines");
    let upstreams = Upstream::several(2);
    Example::start("embed", &upstreams).keeps_sessions(&upstreams);
}

/// Without health checks every third visit would be lost, for as long as the upstream hangs.
#[test]
fn embed_loses_to_an_upstream_that_hangs_only_the_first_visit() {
    let upstreams = [Upstream::named("app-1"), hanging("app-2"), Upstream::named("app-3")];
    let embed = Example::start("embed", &upstreams);
    let patience = Duration::from_secs(12);
    let visits: Vec<bool> = (0..9).map(|_| embed.answers_within(patience)).collect();
    assert_eq!(visits.iter().filter(|answered| !**answered).count(), 1, "{visits:?}");
}

#[test]
fn axum_keeps_sessions_and_serves_its_own_routes() {
    let upstreams = Upstream::several(2);
    let example = Example::start("axum", &upstreams);
    example.keeps_sessions(&upstreams);
    assert_eq!(client::get(example.address, "/own").text(), "the application's own");
    let last = upstreams[0].last();
    assert_eq!(
        (last.head.one("x-forwarded-for"), last.head.one("host")),
        (Some("127.0.0.1".into()), Some("app.example".into()))
    );
}

#[test]
fn own_client_keeps_sessions() {
    let upstreams = Upstream::several(2);
    Example::start("own_client", &upstreams).keeps_sessions(&upstreams);
    assert_eq!(upstreams[0].last().head.one("host"), Some("app.example".into()));
}

/// Each side waits for what the other has sent so far, so neither body was collected on its way.
#[test]
fn own_client_streams_both_bodies() {
    let (came, coming) = mpsc::channel::<Vec<u8>>();
    let upstream = Upstream::start("app-1", move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nup\r\n")?;
        exchange.body_into(&mut |data| came.send(data.to_vec()).unwrap())?;
        exchange.send("4\r\ndown\r\n0\r\n\r\n")?;
        Ok(Next::Request)
    });
    let example = Example::start("own_client", [&upstream]);
    let mut wire = connect(example.address);
    wire.send("POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").unwrap();
    assert_eq!(coming.recv_timeout(GUARD).unwrap(), b"one");
    // The response has begun before the request has ended.
    let (_, head) = wire.response_head();
    assert_eq!(head.status(), 200);
    wire.send("3\r\ntwo\r\n0\r\n\r\n").unwrap();
    assert_eq!(coming.recv_timeout(GUARD).unwrap(), b"two");
    let body = wire.body(head.of_response("POST").unwrap()).unwrap();
    assert_eq!(body.text(), "updown");
}

#[test]
fn own_client_loses_one_request_to_an_upstream_that_is_gone() {
    let mut upstreams = Upstream::several(2);
    let example = Example::start("own_client", &upstreams);
    let first = example.visit("a=1");
    let cookie = set_cookie(&first).unwrap();
    let home = usize::from(first.text() == "app-2");
    upstreams[home].stop();
    // hyper-util's client may first find a kept-alive connection closed.
    until("a refused connection is known", || example.visit(&cookie).status() == 200);
    let moved = example.visit(&cookie);
    assert_eq!(moved.text(), upstreams[1 - home].name);
    assert_eq!(example.visit(&set_cookie(&moved).unwrap()).text(), moved.text());
}

#[test]
fn tower_keeps_sessions() {
    let upstreams = Upstream::several(2);
    Example::start("tower", &upstreams).keeps_sessions(&upstreams);
}

#[test]
fn tower_ejects_an_upstream_that_times_out_within() {
    let upstreams = [Upstream::named("app-1"), hanging("app-2")];
    let example = Example::start("tower", &upstreams);
    let statuses: Vec<u16> = (0..4).map(|_| example.visit("a=1").status()).collect();
    // The timeout within is the upstream's failure: 502 and not 504.
    assert!(statuses.iter().all(|status| [200, 502].contains(status)) && statuses.contains(&502), "{statuses:?}");
}
