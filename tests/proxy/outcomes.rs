//! Outcomes of requests, and the state of upstreams that follows.

use crate::host::{Host, Keep, balancer, eventually, proxy};
use crate::support::client::{Response, connect, exchange, get, post, request};
use crate::support::upstream::{Next, Upstream};
use crate::support::visitor::Visitor;
use homing::HealthSettings;
use homing::health::State;
use homing::proxy::{Proxy, Timeouts};
use std::io::ErrorKind;
use std::time::Duration;

/// An upstream that sends `response` to every request and closes the connection.
fn answering(name: &str, response: &'static str) -> Upstream {
    Upstream::start(name, move |exchange| {
        exchange.answer(response)?;
        Ok(Next::Close)
    })
}

const SORRY: &str = "HTTP/1.1 500 Sorry\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";

fn ask(host: &Host, times: usize) {
    for _ in 0..times {
        let mut wire = connect(host.address);
        wire.send(request("GET", "/", "")).unwrap();
        if let Ok(Some(head)) = wire.head() {
            // The body may be truncated.
            let _ = wire.body(head.of_response("GET").unwrap());
        }
    }
}

#[test]
fn errors_in_a_row_stop_new_sessions_and_keep_pinned_ones() {
    let (bad, good) = (answering("bad", SORRY), Upstream::named("good"));
    let host = Host::start(proxy(&[&bad, &good]), Keep::WithoutProbes);
    let mut pinned = Visitor::new(host.address, "pinned");
    assert_eq!(pinned.visit().status(), 500);
    ask(&host, 8);
    assert_eq!(host.state(&bad), State::Suspect);
    assert_eq!(host.state(&good), State::Active);
    let before = bad.seen().len();
    assert_eq!(before, 5, "round robin: its five failures in a row");
    ask(&host, 4);
    assert_eq!(bad.seen().len(), before);
    assert_eq!(pinned.visit().status(), 500, "its session is there");
}

#[test]
fn without_health_checks_no_outcome_is_reported() {
    let (bad, mut dead) = (answering("bad", SORRY), Upstream::named("dead"));
    dead.stop();
    let host = Host::start(proxy(&[&bad, &dead]), Keep::No);
    ask(&host, 20);
    assert_eq!((host.state(&bad), host.state(&dead)), (State::Active, State::Active));
    assert_eq!(bad.seen().len(), 20);
}

#[test]
fn a_refused_connection_takes_an_upstream_down_until_its_ejection_time_is_over() {
    let (mut mortal, other) = (Upstream::named("mortal"), Upstream::named("other"));
    let host = Host::start(proxy(&[&mortal, &other]), Keep::WithoutProbes);
    mortal.stop();
    ask(&host, 2);
    assert_eq!(host.state(&mortal), State::Down);
    mortal.restart();
    host.await_state(&mortal, State::Active);
    ask(&host, 4);
    assert!(!mortal.seen().is_empty());
}

#[test]
fn truncated_bodies_count_as_failures() {
    let (bad, good) = (answering("bad", CUT), Upstream::named("good"));
    let host = Host::start(proxy(&[&bad, &good]), Keep::WithoutProbes);
    ask(&host, 8);
    // Each began with a good response, so there are never five failures in a row: the failure rate ejects.
    assert_eq!(host.state(&bad), State::Active);
    ask(&host, 60);
    assert_eq!((host.state(&bad), host.state(&good)), (State::Suspect, State::Active));
}

#[test]
fn fresh_connections_that_break_count_and_stale_ones_do_not() {
    // Keeps its connection alive, and closes it on the second request.
    let hasty = Upstream::start("hasty", |exchange| match exchange.before {
        0 => exchange.ok("done"),
        _ => Ok(Next::Close),
    });
    let mute = Upstream::start("mute", |exchange| {
        exchange.body()?;
        Ok(Next::Close)
    });
    for (upstream, state) in [(hasty, State::Active), (mute, State::Suspect)] {
        let host = Host::start(proxy(&[&upstream, &Upstream::named("other")]), Keep::WithoutProbes);
        ask(&host, 40);
        assert_eq!(host.state(&upstream), state, "{}", upstream.name);
        let connections = upstream.seen().iter().map(|seen| seen.connection).max();
        assert!(connections >= Some(4), "no connection was stale: this proves nothing");
    }
}

#[test]
fn responses_that_are_not_http_count_as_failures() {
    let upstream = Upstream::start("nonsense", |exchange| {
        exchange.body()?;
        exchange.send("SSH-2.0-OpenSSH\r\n")?;
        Err(ErrorKind::Other.into())
    });
    let host = Host::start(proxy(&[&upstream, &Upstream::named("other")]), Keep::WithoutProbes);
    ask(&host, 10);
    assert_eq!(host.state(&upstream), State::Suspect);
}

fn impatient(upstreams: &[&Upstream], health: HealthSettings) -> Host {
    let timeouts = Timeouts::default().response(Duration::from_millis(200));
    let proxy = Proxy::builder(balancer(upstreams, 0).health(health).build().unwrap()).timeouts(timeouts);
    Host::start(proxy, Keep::WithoutProbes)
}

#[test]
fn a_deadline_without_any_response_is_proof() {
    let hung = Upstream::start("hung", |exchange| {
        exchange.body()?;
        // Until the proxy closes the connection.
        exchange.wire.rest()?;
        Ok(Next::Close)
    });
    let other = Upstream::named("other");
    let host = impatient(&[&hung, &other], HealthSettings::default());
    let statuses: Vec<u16> = (0..20).map(|_| get(host.address, "/").status()).collect();
    assert!(statuses.contains(&504), "{statuses:?}");
    assert_eq!(host.state(&hung), State::Down);
    assert_eq!(get(host.address, "/").status(), 200);
}

#[test]
fn a_client_that_stops_midway_is_no_failure_of_the_upstream() {
    let upstream = Upstream::named("patient");
    let health = HealthSettings::default().outlier(homing::health::Outlier::default().consecutive(1));
    let host = impatient(&[&upstream], health);
    let half = post("/", "", "whole").replace("whole", "ha");
    assert_eq!(exchange(host.address, half).status(), 408);
    let mut wire = connect(host.address);
    let before = upstream.seen().len();
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").unwrap();
    eventually("its first chunk has come", || upstream.seen().len() > before);
    wire.send("no chunk\r\n").unwrap();
    assert_eq!(wire.response("POST").status(), 400);
    assert!(before > 0, "nothing came before: this proves nothing");
    assert_eq!(host.state(&upstream), State::Active);
}

fn lost(response: &Response) -> Vec<String> {
    response.head.all("homing-lost")
}

#[test]
fn only_the_proxy_sets_the_lost_header() {
    let forger = |name: &str| {
        let body = name.to_owned();
        Upstream::start(name, move |exchange| {
            let length = body.len();
            exchange.answer(format!("HTTP/1.1 200 OK\r\nHoming-Lost: forged\r\nContent-Length: {length}\r\n\r\n{body}"))
        })
    };
    let mut upstreams = [forger("one"), forger("two")];
    let configured = proxy(&[&upstreams[0], &upstreams[1]]).lost_header("homing-lost".parse().unwrap());
    let host = Host::start(configured, Keep::WithoutProbes);
    let mut visitor = Visitor::new(host.address, "visitor");
    let responses = [visitor.visit(), visitor.visit()];
    assert!(responses.iter().all(|response| lost(response).is_empty()), "{responses:?}");
    let pinned = responses[1].text();
    upstreams.iter_mut().find(|upstream| upstream.name == pinned).unwrap().stop();
    let moved = visitor.visit();
    assert_eq!((lost(&moved), moved.status()), (vec!["not_serving".to_owned()], 200));
    assert!(lost(&visitor.visit()).is_empty(), "it is pinned again");
    // An invalid token is not a lost session.
    assert!(lost(&exchange(host.address, request("GET", "/", "Cookie: homing=AAAA\r\n"))).is_empty());
}

#[test]
fn without_a_configured_lost_header_the_upstreams_field_passes() {
    let upstream = answering("own", "HTTP/1.1 200 OK\r\nHoming-Lost: mine\r\nContent-Length: 0\r\n\r\n");
    let host = Host::start(proxy(&[&upstream]), Keep::No);
    assert_eq!(lost(&get(host.address, "/")), ["mine"]);
}
