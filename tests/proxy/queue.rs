//! Requests that wait for a place.

use crate::host::{Host, Keep, balancer, eventually};
use crate::support::client::{Response, connect, get, request};
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use crate::support::wire::Wire;
use homing::proxy::{LocalReply, Proxy, QueueSettings};
use homing::{Affinity, KeyRing, OnFull};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Holds responses back until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn shut(&self) {
        *self.0.0.lock().unwrap() = false;
    }

    fn pass(&self) {
        let guard = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(guard, |open| !*open).unwrap());
    }

    fn upstream(&self, name: &str) -> Upstream {
        let (gate, body) = (self.clone(), name.to_owned());
        Upstream::start(name, move |exchange| {
            gate.pass();
            exchange.ok(&body)
        })
    }
}

fn patient() -> QueueSettings {
    QueueSettings::default().size(49).timeout(Duration::from_secs(30))
}

fn host(upstreams: &[&Upstream], queue: QueueSettings) -> Host {
    Host::start(Proxy::builder(balancer(upstreams, 1).build().unwrap()).queue(queue), Keep::No)
}

fn send(host: &Host, target: &str, fields: &str) -> Wire<TcpStream> {
    let mut wire = connect(host.address);
    wire.send(request("GET", target, fields)).unwrap();
    wire
}

/// Requests `/0` and on, each sent when the one before is at an upstream or waits.
fn crowd(host: &Host, upstreams: &[&Upstream], count: usize) -> Vec<Wire<TcpStream>> {
    let arrived = || host.proxy.waiting() + upstreams.iter().map(|upstream| upstream.seen().len()).sum::<usize>();
    let join = |number: usize| {
        let wire = send(host, &format!("/{number}"), "");
        eventually("it has arrived", || arrived() == number + 1);
        wire
    };
    (0..count).map(join).collect()
}

fn assert_busy(response: &Response) {
    assert_eq!((response.status(), response.head.all("retry-after")), (503, vec!["1".to_owned()]));
}

#[test]
fn waiting_requests_are_served_in_order_and_one_beyond_the_queue_gets_503() {
    let gate = Gate::default();
    let upstream = gate.upstream("one");
    let host = host(&[&upstream], patient());
    let mut wires = crowd(&host, &[&upstream], 50);
    assert_eq!((upstream.seen().len(), host.proxy.waiting()), (1, 49));
    assert_busy(&get(host.address, "/over"));
    gate.open();
    for wire in &mut wires {
        assert_eq!(wire.response("GET").text(), "one");
    }
    let order: Vec<String> = upstream.seen().iter().map(|seen| seen.head.target().to_owned()).collect();
    assert_eq!(order, (0..50).map(|number| format!("/{number}")).collect::<Vec<_>>());
    assert_eq!((host.proxy.waiting(), host.proxy.local_replies().get(LocalReply::QueueFull)), (0, 1));
    assert_eq!(get(host.address, "/").status(), 200);
}

#[test]
fn all_places_of_all_upstreams_are_used() {
    let gate = Gate::default();
    let upstreams = ["one", "two", "three"].map(|name| gate.upstream(name));
    let upstreams: Vec<&Upstream> = upstreams.iter().collect();
    let host = host(&upstreams, patient());
    let mut wires = crowd(&host, &upstreams, 40);
    assert_eq!(host.proxy.waiting(), 37);
    gate.open();
    for wire in &mut wires {
        assert_eq!(wire.response("GET").status(), 200);
    }
    let seen: Vec<usize> = upstreams.iter().map(|upstream| upstream.seen().len()).collect();
    assert!(seen.iter().sum::<usize>() == 40 && seen.iter().all(|count| *count > 1), "{seen:?}");
}

#[test]
fn a_request_that_waits_too_long_gets_503() {
    let gate = Gate::default();
    let upstream = gate.upstream("one");
    let host = host(&[&upstream], QueueSettings::default().size(10).timeout(Duration::from_millis(50)));
    let mut first = crowd(&host, &[&upstream], 1);
    assert_busy(&get(host.address, "/late"));
    assert_eq!(host.proxy.local_replies().get(LocalReply::QueueTimeout), 1);
    gate.open();
    assert_eq!(first[0].response("GET").status(), 200);
    assert_eq!(upstream.count("/late"), 0);
}

#[test]
fn without_a_queue_no_request_waits() {
    let gate = Gate::default();
    let upstream = gate.upstream("one");
    let host = host(&[&upstream], patient().size(0));
    let mut first = crowd(&host, &[&upstream], 1);
    assert_busy(&get(host.address, "/"));
    assert_eq!(host.proxy.local_replies().get(LocalReply::Full), 1);
    gate.open();
    assert_eq!(first[0].response("GET").status(), 200);
}

#[test]
fn a_client_that_disconnects_leaves_the_queue() {
    let gate = Gate::default();
    let upstream = gate.upstream("one");
    let host = host(&[&upstream], patient());
    let mut wires = crowd(&host, &[&upstream], 5);
    drop(wires.remove(2));
    eventually("it has left", || host.proxy.waiting() == 3);
    gate.open();
    for wire in &mut wires {
        assert_eq!(wire.response("GET").status(), 200);
    }
    assert_eq!((upstream.count("/2"), upstream.seen().len()), (0, 4));
}

#[test]
fn a_place_is_freed_when_its_client_disconnects_midway() {
    let gate = Gate::default();
    let upstream = gate.upstream("one");
    let host = host(&[&upstream], patient());
    let mut wires = crowd(&host, &[&upstream], 2);
    // The upstream still holds its response back; the second request reaches it nevertheless.
    drop(wires.remove(0));
    eventually("it has come", || upstream.count("/1") == 1);
    gate.open();
    assert_eq!(wires[0].response("GET").status(), 200);
}

#[test]
fn a_pinned_session_overtakes_requests_that_would_take_any_place() {
    let (shut, open) = (Gate::default(), Gate::default());
    open.open();
    let (held, free) = (shut.upstream("held"), open.upstream("free"));
    let balancer = Arc::new(balancer(&[&held, &free], 1).build().unwrap());
    let host = Host::start(Proxy::builder(Arc::clone(&balancer)).queue(patient()), Keep::No);
    let mut pinned = Visitor::new(host.address, "pinned");
    let _first = send(&host, "/held", "");
    eventually("it is held", || held.seen().len() == 1);
    assert_eq!(pinned.visit().text(), "free");
    // From here on the free upstream takes no new sessions.
    balancer.drain("free", None, homing::time::Clock::now(&homing::time::SystemClock)).unwrap();
    let mut waits = send(&host, "/waits", "");
    eventually("it waits", || host.proxy.waiting() == 1);
    assert_eq!(pinned.visit().text(), "free");
    assert_eq!(host.proxy.waiting(), 1);
    shut.open();
    assert_eq!(waits.response("GET").text(), "held");
}

/// Both upstreams are full, and the one that does not hold the session has room first.
#[test]
fn a_session_that_may_move_takes_the_first_place_that_is_free() {
    let gates = [Gate::default(), Gate::default()];
    let [one, two] = [gates[0].upstream("one"), gates[1].upstream("two")];
    gates[0].open();
    let keys = KeyRing::generate("app").unwrap();
    let moving = Affinity::builder(keys).on_full(OnFull::Move).build().unwrap();
    let both = balancer(&[&one, &two], 1).affinity(moving).build().unwrap();
    let host = Host::start(Proxy::builder(both).queue(patient()), Keep::No);
    let mut session = Visitor::new(host.address, "session");
    assert_eq!(session.visit().text(), "one");
    gates[0].shut();
    let _busy = [send(&host, "/a", ""), send(&host, "/b", "")];
    eventually("both are busy", || one.seen().len() == 2 && two.seen().len() == 1);
    let waits = std::thread::spawn(move || session.visit().text().to_owned());
    eventually("it waits", || host.proxy.waiting() == 1);
    gates[1].open();
    assert_eq!(waits.join().unwrap(), "two");
    gates[0].open();
}
