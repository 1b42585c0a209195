//! Active probes: the requests that upstreams get, and the effect of their responses.

use crate::host::{Host, Keep, eventually, proxy};
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use homing::health::{EventKind, State};
use homing::proxy::{ProbeProfile, ProbeSettings};
use homing::{Change, UpstreamConfig};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn quick(path: Option<&str>) -> ProbeSettings {
    let (interval, timeout) = (Duration::from_millis(40), Duration::from_millis(500));
    let settings = ProbeSettings::default().interval(interval).timeout(timeout);
    match path {
        Some(path) => settings.path(path),
        None => settings,
    }
}

/// An upstream that responds to `/health` with a settable response, and to everything else with its name.
#[derive(Clone)]
struct Says(Arc<Mutex<String>>);

impl Says {
    fn new(response: &str) -> Self {
        Self(Arc::new(Mutex::new(response.to_owned())))
    }

    fn now(&self, response: &str) {
        *self.0.lock().unwrap() = response.to_owned();
    }

    fn upstream(&self, name: &str) -> Upstream {
        let (says, body) = (self.clone(), name.to_owned());
        Upstream::start(name, move |exchange| match &*exchange.head.target() {
            "/health" => {
                let response = says.0.lock().unwrap().clone();
                exchange.answer(response)
            }
            _ => exchange.ok(&body),
        })
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const FULL: &str = "HTTP/1.1 503 Full\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";

#[test]
fn without_a_path_a_probe_is_a_connection() {
    let (mut mortal, other) = (Upstream::named("mortal"), Upstream::named("other"));
    let host = Host::start(proxy(&[&mortal, &other]), Keep::Probing(quick(None)));
    mortal.stop();
    host.await_state(&mortal, State::Down);
    mortal.restart();
    host.await_state(&mortal, State::Active);
    assert_eq!(host.state(&other), State::Active);
    assert_eq!(mortal.seen().len() + other.seen().len(), 0, "a connection is all that is made");
}

#[test]
fn a_probe_is_a_get_on_a_persistent_connection() {
    let says = Says::new(OK);
    let upstream = says.upstream("one");
    let _host = Host::start(proxy(&[&upstream]), Keep::Probing(quick(Some("/health"))));
    eventually("it is probed", || upstream.count("/health") >= 5);
    for seen in upstream.seen() {
        assert_eq!((seen.connection, seen.head.all("host")), (0, vec![upstream.address.to_string()]));
        assert!(seen.head.all("user-agent")[0].starts_with("homing-probe/"), "{:?}", seen.head);
    }
}

#[test]
fn a_closed_persistent_connection_is_no_failed_probe() {
    let upstream = Upstream::start("hasty", |exchange| {
        exchange.ok("done")?;
        Ok(crate::support::upstream::Next::Close)
    });
    let host = Host::start(proxy(&[&upstream]), Keep::Probing(quick(Some("/health"))));
    let events = host.proxy.balancer().subscribe();
    eventually("it is probed", || upstream.count("/health") >= 10);
    assert_eq!(events.poll(), None);
}

#[test]
fn the_profile_defines_the_meaning_of_a_status() {
    for (profile, response, state) in [
        (ProbeProfile::Standard, FULL, State::Down),
        (ProbeProfile::Wisej, FULL, State::Full),
        (ProbeProfile::Wisej, BUSY, State::Down),
        (ProbeProfile::Standard, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", State::Down),
        (ProbeProfile::Standard, "HTTP/1.1 204 No Content\r\n\r\n", State::Active),
    ] {
        let says = Says::new(OK);
        // Three upstreams, so that a failed one is less than half of them.
        let upstreams = [says.upstream("one"), Upstream::named("two"), Upstream::named("three")];
        let settings = quick(Some("/health")).profile(profile);
        let host = Host::start(proxy(&upstreams.iter().collect::<Vec<_>>()), Keep::Probing(settings));
        let probes = |count: usize| {
            let before = upstreams[0].count("/health");
            eventually("it is probed", || upstreams[0].count("/health") >= before + count);
        };
        probes(2);
        says.now(response);
        probes(4);
        host.await_state(&upstreams[0], state);
        says.now(OK);
        host.await_state(&upstreams[0], State::Active);
    }
}

#[test]
fn an_upstream_that_hangs_is_down() {
    let upstream = Upstream::start("hung", |exchange| {
        exchange.wire.rest()?;
        Ok(crate::support::upstream::Next::Close)
    });
    let settings = quick(Some("/health")).timeout(Duration::from_millis(100));
    let host = Host::start(proxy(&[&upstream, &Upstream::named("other")]), Keep::Probing(settings));
    host.await_state(&upstream, State::Down);
}

#[test]
fn a_restart_is_recognised_by_a_header_field_or_by_json() {
    let field = |process: &str| format!("HTTP/1.1 200 OK\r\nX-Process: {process}\r\nContent-Length: 0\r\n\r\n");
    let json = |process: &str| {
        let body = format!("{{\"process\": {{\"id\": {process}}}}}");
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let by_field = quick(Some("/health")).incarnation_header("x-process".parse().unwrap());
    let by_json = quick(Some("/health")).incarnation_json("/process/id");
    let mut numbers = Vec::new();
    for (settings, first, second) in [
        (by_field, field("71"), field("72")),
        (by_json.clone(), json("71"), json("72")),
        (by_json, json("\"71\""), json("\"72\"")),
    ] {
        let says = Says::new(&first);
        let upstream = says.upstream("one");
        let lost = "homing-lost";
        let host = Host::start(proxy(&[&upstream]).lost_header(lost.parse().unwrap()), Keep::Probing(settings));
        let cell = || host.proxy.balancer().cluster().find_name("one").unwrap().upstream().incarnation();
        eventually("it is known", || cell() != 0);
        let mut visitor = Visitor::new(host.address, "visitor");
        visitor.visit();
        assert_eq!(visitor.visit().head.all(lost), Vec::<String>::new());

        let (before, events) = (cell(), host.proxy.balancer().subscribe());
        says.now(&second);
        eventually("it is another", || cell() != before);
        let event = events.poll().map(|event| event.kind);
        assert_eq!(event, Some(EventKind::Restarted { from: before, to: cell() }));
        assert_eq!(visitor.visit().head.all(lost), ["other_incarnation"]);
        assert_eq!(visitor.visit().head.all(lost), Vec::<String>::new());
        numbers.push((before, cell()));
    }
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1]), "one name, one number: {numbers:?}");
}

#[test]
fn probes_follow_the_cluster() {
    let says = Says::new(OK);
    let (one, two) = (says.upstream("one"), says.upstream("two"));
    let host = Host::start(proxy(&[&one]), Keep::Probing(quick(Some("/health"))));
    eventually("it is probed", || one.count("/health") >= 2);
    let balancer = host.proxy.balancer();
    let apply = |change| balancer.apply(balancer.plan(&[change]).unwrap()).unwrap();
    apply(Change::Put(UpstreamConfig::new("two", two.address.to_string())));
    eventually("the added upstream is probed", || two.count("/health") >= 2);
    apply(Change::Remove("one".to_owned()));
    // After several probes of the other upstream, a probe in progress is over.
    let probed = |upstream: &Upstream, more: usize| {
        let before = upstream.count("/health");
        eventually("it is probed", || upstream.count("/health") >= before + more);
    };
    probed(&two, 6);
    let left = one.count("/health");
    probed(&two, 10);
    assert_eq!(one.count("/health"), left);
}
