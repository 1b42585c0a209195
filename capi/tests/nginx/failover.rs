//! Upstreams that are down, removed, or full: another one responds, and the session stays there.

use crate::support::test;
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::server::{Nginx, Setup, servers};
use crate::support::client::{connect, exchange, get, post, request};
use crate::support::until;
use crate::support::upstream::{Next, Upstream};
use crate::support::visitor::{Visitor, token};

const HOMING: &str = "homing key_file=homing.keys policy=least_sessions;";

fn index_of(upstreams: &[Upstream], name: &str) -> usize {
    upstreams.iter().position(|upstream| upstream.name == name).expect("an upstream")
}

#[test]
fn sessions_of_a_dead_upstream_move_once() {
    let mut upstreams = Upstream::several(3);
    let Some(nginx) = Nginx::start(&Setup::of(format!("{HOMING} {}", servers(&upstreams)))) else { return };
    let mut visitors = Visitor::several(nginx.address, 9);
    let all_pinned: Vec<_> = visitors.iter_mut().map(|visitor| visitor.visit().text()).collect();
    let dead = index_of(&upstreams, &all_pinned[0]);
    upstreams[dead].stop();
    let mut next = Vec::new();
    for (visitor, pinned) in visitors.iter_mut().zip(&all_pinned) {
        let answer = visitor.visit();
        assert_eq!(answer.status(), 200);
        let moves = *pinned == upstreams[dead].name;
        assert_eq!((answer.text() != *pinned, visitor.given), (moves, 1 + usize::from(moves)));
        next.push(answer.text());
    }
    let moved = all_pinned.iter().filter(|pinned| **pinned == upstreams[dead].name).count();
    assert!((1..9).contains(&moved));
    let log = nginx.log(18);
    let not_serving: Vec<_> = log.iter().filter(|line| line.decision == "not_serving").collect();
    assert_eq!(not_serving.len(), moved);
    // The first request was sent to the dead upstream before.
    let address = upstreams[dead].address.to_string();
    assert_eq!(not_serving[0].tried, [address, not_serving[0].upstream.clone()]);
    // No session moves back.
    upstreams[dead].restart();
    for (visitor, next) in visitors.iter_mut().zip(&next) {
        let given = visitor.given;
        assert_eq!((visitor.visit().text(), visitor.given), (next.clone(), given));
    }
    assert!(nginx.log(27)[18..].iter().all(|line| line.decision == "pinned"));
}

/// A new session whose first upstream is dead has the decision `new`, and the failed try leaves nothing in the
/// response.
#[test]
fn a_first_visit_gets_one_cookie() {
    let mut upstreams = Upstream::several(2);
    let homing = "homing key_file=homing.keys policy=ip_hash;";
    let Some(nginx) = Nginx::start(&Setup::of(format!("{homing} {}", servers(&upstreams)))) else { return };
    let pinned = get(nginx.address, "/").text();
    let dead = index_of(&upstreams, &pinned);
    upstreams[dead].stop();
    let mut visitor = Visitor::new(nginx.address, "v");
    let next = visitor.visit().text();
    assert_ne!(next, pinned);
    let line = nginx.last(2);
    assert_eq!((line.decision.as_str(), line.tried.len()), ("new", 2));
    assert_eq!((visitor.given, visitor.visit().text(), visitor.given), (1, next, 1));
}

#[test]
fn no_session_moves_if_all_are_dead() {
    let mut upstreams = Upstream::several(2);
    let Some(nginx) = Nginx::start(&Setup::of(format!("{HOMING} {}", servers(&upstreams)))) else { return };
    let mut visitor = Visitor::new(nginx.address, "v");
    visitor.visit();
    upstreams.iter_mut().for_each(Upstream::stop);
    for _ in 0..3 {
        assert_eq!(visitor.visit().status(), 502);
    }
    assert_eq!(visitor.given, 1);
}

/// Four dead upstreams: as many are tried as `proxy_next_upstream_tries` says, each once.
#[test]
fn tries_are_counted() {
    for (tries, asked) in [(0, 4), (1, 1), (3, 3)] {
        let mut upstreams = Upstream::several(4);
        let mut setup = Setup::of(format!("{HOMING} {}", servers(&upstreams)));
        setup.server += &format!(" proxy_next_upstream_tries {tries};");
        let Some(nginx) = Nginx::start(&setup) else { return };
        upstreams.iter_mut().for_each(Upstream::stop);
        assert_eq!(get(nginx.address, "/").status(), 502);
        let tried = nginx.last(1).tried;
        assert_eq!((tried.len(), tried.iter().collect::<BTreeSet<_>>().len()), (asked, asked), "{tries}: {tried:?}");
    }
}

#[test]
fn without_next_upstream_the_failure_is_the_answer() {
    let mut upstreams = Upstream::several(2);
    let mut setup = Setup::of(format!("{HOMING} {}", servers(&upstreams)));
    setup.server += " proxy_next_upstream off;";
    let Some(nginx) = Nginx::start(&setup) else { return };
    let mut visitor = Visitor::new(nginx.address, "v");
    let pinned = visitor.visit().text();
    let dead = index_of(&upstreams, &pinned);
    upstreams[dead].stop();
    assert_eq!((visitor.visit().status(), visitor.given), (502, 1));
}

fn answering(name: &'static str, status: &'static str) -> Upstream {
    Upstream::start(name, move |exchange| match exchange.head.target().as_str() {
        "/there" => exchange.ok(name),
        _ => exchange.answer(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")),
    })
}

/// A visitor of the first upstream, which responds with `status` to all but `/there`.
fn upstream_that_answers(status: &'static str, condition: &str) -> Option<(Nginx, Vec<Upstream>, Visitor)> {
    let upstreams = vec![answering("a", status), Upstream::named("b")];
    let mut setup = Setup::of(format!("{HOMING} {}", servers(&upstreams)));
    setup.server += &format!(" proxy_next_upstream error {condition};");
    let nginx = Nginx::start(&setup)?;
    let visitor = |_| {
        let answer = get(nginx.address, "/there");
        let mut visitor = Visitor::new(nginx.address, "v");
        visitor.keep(&answer.head);
        (answer.text() == "a").then_some(visitor)
    };
    let visitor = (0..50).find_map(visitor).expect("a visitor of the first upstream");
    Some((nginx, upstreams, visitor))
}

#[test]
fn an_error_response_moves_the_session_if_proxy_next_upstream_says_so() {
    let Some((_nginx, _upstreams, mut visitor)) = upstream_that_answers("500 Broken", "http_500") else { return };
    assert_eq!((visitor.visit().text(), visitor.given), ("b".to_owned(), 2));
    assert_eq!((visitor.visit().text(), visitor.given), ("b".to_owned(), 2));
    // The control.
    let Some((_nginx, _upstreams, mut visitor)) = upstream_that_answers("500 Broken", "timeout") else { return };
    assert_eq!((visitor.visit().status(), visitor.given), (500, 1));
}

/// After 404 the request is retried elsewhere, and the session stays.
#[test]
fn a_page_on_another_upstream_moves_no_session() {
    let Some((nginx, upstreams, mut visitor)) = upstream_that_answers("404 Nothing", "http_404") else { return };
    for _ in 0..3 {
        assert_eq!((visitor.visit().text(), visitor.given), ("b".to_owned(), 1));
    }
    assert_eq!(upstreams[0].count("/"), 3);
    // A first request of such a page begins a session on its first upstream, or none.
    let before = upstreams[0].count("/");
    let answers: Vec<_> = (0..10).map(|_| get(nginx.address, "/")).collect();
    assert!(answers.iter().all(|answer| answer.text() == "b" && token(&answer.head).is_some()));
    assert!(upstreams[0].count("/") > before);
}

/// It reads the second request on a connection and closes it without a response, like a server that closes an idle
/// connection just when a request arrives.
fn closing(name: &'static str) -> Upstream {
    Upstream::start(name, move |exchange| match exchange.before {
        0 => exchange.ok(name),
        _ => Ok(Next::Close),
    })
}

const KEEPALIVE: &str = " proxy_http_version 1.1; proxy_set_header Connection '';";

#[test]
fn a_stale_connection_moves_no_session() {
    let upstreams = vec![closing("a"), closing("b")];
    let mut setup = Setup::of(format!("{HOMING} {} keepalive 8;", servers(&upstreams)));
    setup.server += KEEPALIVE;
    setup.workers = 1;
    let Some(nginx) = Nginx::start(&setup) else { return };
    let mut visitor = Visitor::new(nginx.address, "v");
    let pinned = visitor.visit().text();
    for visit in 1..10 {
        assert_eq!((visitor.visit().text(), visitor.given), (pinned.clone(), 1));
        let line = nginx.last(visit + 1);
        assert_eq!((line.decision.as_str(), line.tried.len()), ("pinned", 2), "one more try, at the same");
        assert_eq!(line.tried[0], line.tried[1]);
    }
    // A request that must not be repeated is not, and the session does not move.
    let cookie = format!("Cookie: homing={}\r\n", visitor.token.as_ref().expect("a cookie"));
    let answer = exchange(nginx.address, post("/", &cookie, "once"));
    assert_eq!((answer.status(), answer.head.has("set-cookie")), (502, false));
    assert_eq!(
        upstreams[index_of(&upstreams, &pinned)].seen().iter().filter(|seen| seen.head.method() == "POST").count(),
        1
    );
    assert_eq!((visitor.visit().text(), visitor.given), (pinned, 1));
}

#[test]
fn connections_are_kept() {
    let upstreams = Upstream::several(2);
    let mut setup = Setup::of(format!("{HOMING} {} keepalive 8;", servers(&upstreams)));
    setup.server += KEEPALIVE;
    setup.workers = 1;
    let Some(nginx) = Nginx::start(&setup) else { return };
    let mut visitor = Visitor::new(nginx.address, "v");
    let pinned = index_of(&upstreams, &visitor.visit().text());
    (1..10).for_each(|_| drop(visitor.visit()));
    let connections: BTreeSet<_> = upstreams[pinned].seen().iter().map(|seen| seen.connection).collect();
    assert_eq!((upstreams[pinned].seen().len(), connections.len()), (10, 1));
}

#[test]
fn sessions_leave_a_server_marked_down() {
    let upstreams = Upstream::several(3);
    let setup = |down: &str| {
        let [a, b, c] = &upstreams[..] else { panic!("three") };
        Setup::of(format!("{HOMING} server {} {down}; server {}; server {};", a.address, b.address, c.address))
    };
    let Some(mut nginx) = Nginx::start(&setup("")) else { return };
    let mut visitors = Visitor::several(nginx.address, 9);
    let all_pinned: Vec<_> = visitors.iter_mut().map(|visitor| visitor.visit().text()).collect();
    assert!(all_pinned.contains(&"app-1".to_owned()));
    nginx.change(&setup("down"));
    for (visitor, pinned) in visitors.iter_mut().zip(&all_pinned) {
        let next = visitor.visit().text();
        assert_ne!(next, "app-1");
        assert_eq!(next != *pinned, pinned == "app-1");
    }
    for line in &nginx.log(18)[9..] {
        assert_eq!(line.tried.len(), 1);
        assert!(["pinned", "not_serving"].contains(&line.decision.as_str()));
    }
}

/// With a zone, the workers share their judgements.
#[test]
fn workers_share_verdicts_in_a_zone() {
    let failed_tries = |zone: &str| {
        let mut upstreams = Upstream::several(3);
        let lines: String =
            upstreams.iter().map(|upstream| format!("server {} fail_timeout=1h; ", upstream.address)).collect();
        let setup = Setup { workers: 4, listen: "reuseport", ..Setup::of(format!("{zone} {HOMING} {lines}")) };
        let nginx = Nginx::start(&setup)?;
        upstreams[0].stop();
        for _ in 0..100 {
            assert_eq!(get(nginx.address, "/").status(), 200);
        }
        let log = nginx.log(100);
        assert_eq!(log.iter().map(|line| &line.worker).collect::<BTreeSet<_>>().len(), 4);
        Some(log.iter().filter(|line| line.tried.len() > 1).count())
    };
    let Some(shared) = failed_tries("zone app 256k;") else { return };
    assert_eq!(shared, 1);
    let each = failed_tries("");
    assert_eq!(each, Some(4));
}

/// Delays responses to `/hold` until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().expect("lock") = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().expect("lock"), |open| !*open).expect("wait"));
    }
}

#[test]
fn no_more_than_max_conns_at_once() {
    for (limit, stays) in [("max_conns=1", false), ("", true)] {
        let gate = Gate::default();
        let upstreams = ["a", "b"].map(|name| {
            let gate = gate.clone();
            Upstream::start(name, move |exchange| {
                if exchange.head.target() == "/hold" {
                    gate.wait();
                }
                exchange.ok(name)
            })
        });
        let [a, b] = &upstreams;
        let lines = format!("server {} {limit}; server {};", a.address, b.address);
        let Some(nginx) = Nginx::start(&Setup::of(format!("zone app 256k; {HOMING} {lines}"))) else { return };
        let on_a = |_| {
            let mut visitor = Visitor::new(nginx.address, "v");
            (visitor.visit().text() == "a").then_some(visitor)
        };
        let mut visitors = (0..50).filter_map(on_a);
        let (holder, mut other) = (visitors.next().expect("one on a"), visitors.next().expect("another"));
        let held = thread::spawn({
            let (address, fields) = (nginx.address, holder.fields());
            move || connect(address).exchange(request("GET", "/hold", &fields))
        });
        until("the request is held", || a.count("/hold") == 1);
        assert_eq!(other.visit().text() == "a", stays, "{limit}");
        for _ in 0..10 {
            let new = get(nginx.address, "/").text();
            assert!(stays || new == "b");
        }
        gate.open();
        let answer = held.join().expect("the held request");
        assert_eq!((answer.status(), answer.text().as_str(), token(&answer.head)), (200, "a", None));
        // There is room again for the sessions that are still there.
        let mut holder = holder;
        until("there is room again", || holder.visit().text() == "a" || !stays && holder.given > 1);
        assert_eq!(holder.given, 1);
    }
}
