//! The retry budget.

use crate::host::{Host, Keep, proxy};
use crate::support::client::{exchange, get, post};
use crate::support::upstream::{Next, Upstream};
use homing::proxy::RetrySettings;

fn none() -> RetrySettings {
    RetrySettings::default().ratio(0.0).min_per_second(0)
}

#[test]
fn without_a_budget_a_request_is_tried_once() {
    let (mut dead, alive) = (Upstream::named("dead"), Upstream::named("alive"));
    dead.stop();
    // Under round robin a retried request takes two turns, so the next one begins at the dead upstream again.
    for (settings, retries, failures) in [(RetrySettings::default(), 20, 0), (none(), 0, 10)] {
        let host = Host::start(proxy(&[&dead, &alive]).retry(settings), Keep::No);
        let failed = (0..20).filter(|_| get(host.address, "/").status() == 502).count();
        assert_eq!((failed, host.proxy.retries().denied()), (failures, failures as u64));
        assert_eq!(host.proxy.retries().granted(), retries);
    }
    assert_eq!(alive.seen().len(), 30);
}

#[test]
fn a_budget_that_is_spent_stops_the_retries_and_not_the_requests() {
    let (mut dead, alive) = (Upstream::named("dead"), Upstream::named("alive"));
    dead.stop();
    // One retry per second, of which ten seconds are kept, and one for every ten requests.
    let settings = RetrySettings::default().ratio(0.1).min_per_second(1);
    let host = Host::start(proxy(&[&dead, &alive]).retry(settings), Keep::No);
    let statuses: Vec<u16> = (0..200).map(|_| get(host.address, "/").status()).collect();
    let failed = statuses.iter().filter(|status| **status == 502).count() as u64;
    let retries = host.proxy.retries();
    assert!(failed > 0 && retries.granted() >= 10, "{failed} failed, {} were granted", retries.granted());
    assert_eq!(failed, retries.denied());
    assert_eq!(alive.seen().len() as u64, 200 - failed);
}

#[test]
fn a_request_sent_again_uses_the_budget_and_a_post_is_not_sent_again() {
    // Responds to the first request of a connection, and closes it after it has read the second.
    let stale = Upstream::start("stale", |exchange| match exchange.before {
        0 => exchange.ok("fresh"),
        _ => {
            exchange.body()?;
            Ok(Next::Close)
        }
    });
    for (settings, status) in [(RetrySettings::default(), 200), (none(), 502)] {
        let host = Host::start(proxy(&[&stale]).retry(settings), Keep::No);
        assert_eq!(get(host.address, "/").status(), 200);
        assert_eq!(get(host.address, "/").status(), status);
        assert_eq!(host.proxy.retries().granted(), u64::from(status == 200));
    }
    let host = Host::start(proxy(&[&stale]), Keep::No);
    assert_eq!(get(host.address, "/").status(), 200);
    let before = stale.seen().len();
    assert_eq!(exchange(host.address, post("/order", "", "one")).status(), 502, "never twice");
    assert_eq!((stale.seen().len(), host.proxy.retries().granted()), (before + 1, 0));
}
