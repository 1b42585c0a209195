//! Probed upstreams: gone, full, restarted or failing, and what that does to old and new visitors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;

/// Probes of a path, often enough for a test.
const PROBES: &str = "path = \"/healthz\"\ninterval = \"100ms\"\n";

/// An upstream with scripted responses to probes; its response to all other requests is its name.
struct Probed {
    upstream: Upstream,
    /// The status of the response to a probe, with `Retry-After` if it is 503.
    status: Arc<AtomicU16>,
    incarnation: Arc<AtomicU16>,
}

impl Probed {
    fn named(name: &str) -> Self {
        let (status, incarnation) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(1)));
        let upstream = Upstream::start(name, {
            let (name, status, incarnation) = (name.to_owned(), status.clone(), incarnation.clone());
            move |exchange| {
                if exchange.head.target() != "/healthz" {
                    return exchange.ok(&name);
                }
                let status = status.load(Ordering::SeqCst);
                let retry = if status == 503 { "Retry-After: 1\r\n" } else { "" };
                let incarnation = incarnation.load(Ordering::SeqCst);
                exchange.answer(format!(
                    "HTTP/1.1 {status} Probed\r\n{retry}homing-incarnation: {incarnation}\r\nContent-Length: 0\r\n\r\n"
                ))
            }
        });
        Self { upstream, status, incarnation }
    }

    fn several(count: usize) -> Vec<Self> {
        (1..=count).map(|number| Self::named(&format!("app-{number}"))).collect()
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Becomes another process.
    fn restarts(&self) {
        self.incarnation.fetch_add(1, Ordering::SeqCst);
    }
}

fn before(settings: &str, upstreams: &[Probed]) -> Gateway {
    Gateway::start(settings, &upstreams.iter().map(|probed| &probed.upstream).collect::<Vec<_>>())
}

/// Waits until the gateway has logged that.
fn until_logged(gateway: &Gateway, event: &str) {
    until(event, || gateway.log().contains(event));
}

/// The upstreams of that many new visitors.
fn newcomers(gateway: &Gateway, count: usize) -> Vec<String> {
    Visitor::several(gateway.address(), count).iter_mut().map(served).collect()
}

fn served(visitor: &mut Visitor) -> String {
    let response = visitor.visit();
    assert_eq!(response.status(), 200, "{response:?}");
    response.text()
}

/// No retries: a visitor that is sent to a dead upstream gets an error.
const NO_RETRIES: &str = "[retry]\nratio = 0\nmin_per_second = 0\n[policy]\nname = \"round_robin\"\n";

#[test]
fn probes_find_out_that_an_upstream_is_gone_before_any_visitor_does() {
    let mut upstreams = Upstream::several(3);
    let gateway = Gateway::start(NO_RETRIES, &upstreams.iter().collect::<Vec<_>>());
    upstreams[1].stop();
    until_logged(&gateway, "app-2: active -> down: a probe was refused");
    assert!(!newcomers(&gateway, 30).contains(&"app-2".to_owned()));

    upstreams[1].restart();
    until_logged(&gateway, "app-2: down -> warming: probes pass");
    until("newcomers come to the one that is back", || newcomers(&gateway, 1) == ["app-2"]);
}

/// The control: the check above notices a visitor that is sent to a dead upstream.
#[test]
fn without_probes_a_visitor_is_sent_to_a_dead_upstream() {
    let mut upstreams = Upstream::several(3);
    let settings = format!("{NO_RETRIES}[health]\nenabled = false\n");
    let gateway = Gateway::start(&settings, &upstreams.iter().collect::<Vec<_>>());
    upstreams[1].stop();
    let mut visitors = Visitor::several(gateway.address(), 3);
    let statuses: Vec<_> = visitors.iter_mut().map(|visitor| visitor.visit().status()).collect();
    assert!(statuses.iter().any(|status| *status != 200), "{statuses:?}");
}

#[test]
fn an_upstream_that_reports_full_keeps_its_visitors_and_gets_no_new_ones() {
    let upstreams = Probed::several(2);
    let settings = format!("[policy]\nname = \"round_robin\"\n[health]\nprofile = \"wisej\"\n{PROBES}");
    let gateway = before(&settings, &upstreams);
    let mut visitors = Visitor::several(gateway.address(), 4);
    let homes: Vec<_> = visitors.iter_mut().map(served).collect();
    assert!(homes.contains(&"app-1".to_owned()) && homes.contains(&"app-2".to_owned()), "{homes:?}");

    upstreams[0].answers(503);
    until_logged(&gateway, "app-1: active -> full");
    assert_eq!(newcomers(&gateway, 10), vec!["app-2"; 10]);
    assert_eq!(visitors.iter_mut().map(served).collect::<Vec<_>>(), homes);

    upstreams[0].answers(200);
    until_logged(&gateway, "app-1: full -> active");
    assert!(newcomers(&gateway, 10).contains(&"app-1".to_owned()));
}

#[test]
fn an_upstream_that_fails_probes_is_taken_out_unless_all_do() {
    let upstreams = Probed::several(2);
    let settings = format!("[policy]\nname = \"round_robin\"\n[outlier]\nbase = \"200ms\"\n[health]\n{PROBES}");
    let gateway = before(&settings, &upstreams);
    assert!(newcomers(&gateway, 4).contains(&"app-1".to_owned()));

    // With `Retry-After`, which has no meaning in this profile.
    upstreams[0].answers(503);
    until_logged(&gateway, "app-1: active -> down: probes get status 503");
    assert_eq!(newcomers(&gateway, 10), vec!["app-2"; 10]);

    upstreams[1].answers(404);
    until_logged(&gateway, "too many upstreams look bad");
    let homes = newcomers(&gateway, 10);
    assert!(homes.contains(&"app-1".to_owned()) && homes.contains(&"app-2".to_owned()), "{homes:?}");

    for probed in &upstreams {
        probed.answers(200);
    }
    until_logged(&gateway, "judgements count again");
}

/// Upstreams with known incarnations, and visitors pinned to them.
fn known(on_restart: &str) -> (Vec<Probed>, Gateway, Vec<(Visitor, String)>) {
    let upstreams = Probed::several(3);
    let settings = format!(
        "[affinity]\nlost_header = \"Homing-Lost\"\non_restart = \"{on_restart}\"\n\
         [policy]\nname = \"round_robin\"\n[health]\n{PROBES}"
    );
    let gateway = before(&settings, &upstreams);
    // The result of the first probe is known when the next one arrives.
    for probed in &upstreams {
        until("two probes", || probed.upstream.count("/healthz") > 1);
    }
    let visitors = Visitor::several(gateway.address(), 60).into_iter().map(|mut visitor| {
        let response = visitor.visit();
        assert_eq!(response.head.all("homing-lost"), Vec::<String>::new());
        (visitor, response.text())
    });
    let visitors = visitors.collect();
    (upstreams, gateway, visitors)
}

/// Restarts `app-1` and visits again; the upstreams of its former visitors. They alone get the lost header, once.
fn after_a_restart(upstreams: &[Probed], gateway: &Gateway, visitors: &mut [(Visitor, String)]) -> Vec<String> {
    upstreams[0].restarts();
    until_logged(gateway, "app-1: another process");
    let mut homes = Vec::new();
    for (visitor, home) in visitors {
        let response = visitor.visit();
        assert_eq!(response.status(), 200, "{response:?}");
        let was_there = home == "app-1";
        let told: &[String] = if was_there { &["other_incarnation".to_owned()] } else { &[] };
        assert_eq!(response.head.all("homing-lost"), told, "{}", visitor.name);
        assert_eq!(visitor.given, if was_there { 2 } else { 1 }, "{}", visitor.name);
        if was_there {
            homes.push(response.text());
        } else {
            assert_eq!(response.text(), *home);
        }
        let again = visitor.visit();
        assert_eq!((again.text(), again.head.all("homing-lost")), (response.text(), Vec::new()));
    }
    assert!(!homes.is_empty());
    homes
}

#[test]
fn visitors_of_a_restarted_upstream_are_told_and_go_where_their_own_order_says() {
    let (upstreams, gateway, mut visitors) = known("replace");
    let homes = after_a_restart(&upstreams, &gateway, &mut visitors);
    // Twenty that all stay by chance, with three to choose from: once in three billion.
    assert!(homes.iter().any(|home| home != "app-1"), "{homes:?}");
}

#[test]
fn visitors_of_a_restarted_upstream_stay_with_it_where_that_is_configured() {
    let (upstreams, gateway, mut visitors) = known("keep");
    let homes = after_a_restart(&upstreams, &gateway, &mut visitors);
    assert_eq!(homes, vec!["app-1"; homes.len()]);
}
