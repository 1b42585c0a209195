//! New settings for a running proxy: new connections use them, existing ones keep the old.

use crate::host::{Host, Keep, balancer};
use crate::support::client::{connect, get, request};
use crate::support::upstream::Upstream;
use homing::Balancer;
use homing::http::{CookieName, CookieSpec, SameSite};
use homing::proxy::{Limits, LocalReply, OtherBalancer, Proxy, ProxyBuilder, QueueSettings, RetrySettings, Timeouts};
use std::sync::Arc;
use std::time::Duration;

fn settings(host: &Host) -> ProxyBuilder {
    Proxy::builder(Arc::clone(host.proxy.balancer()))
}

fn strict() -> CookieSpec {
    CookieSpec::builder(CookieName::default()).same_site(SameSite::Strict).build().unwrap()
}

#[test]
fn a_connection_keeps_the_settings_with_which_it_began() {
    let upstream = Upstream::named("app-1");
    let host = Host::start(Proxy::builder(balancer(&[&upstream], 0).build().unwrap()), Keep::No);
    let mut old = connect(host.address);
    let cookie = |head: &crate::support::head::Head| head.all("set-cookie").concat();
    let before = old.exchange(request("GET", "/", ""));
    assert!(cookie(&before.head).contains("SameSite=Lax"), "{:?}", before.head);

    let limits = Limits::default().uri_bytes(1024);
    host.proxy.reconfigure(settings(&host).cookie(strict()).limits(limits)).unwrap();
    let long = format!("/{}", "x".repeat(2000));
    let after = old.exchange(request("GET", &long, ""));
    assert_eq!(after.status(), 200);
    assert!(cookie(&after.head).contains("SameSite=Lax"));

    let mut new = connect(host.address);
    assert!(cookie(&new.exchange(request("GET", "/", "")).head).contains("SameSite=Strict"));
    assert_eq!(new.exchange(request("GET", &long, "")).status(), 414);
    assert_eq!(host.proxy.local_replies().get(LocalReply::UriTooLong), 1);
}

#[test]
fn a_worker_made_before_uses_new_settings_too() {
    let upstream = Upstream::named("app-1");
    let host = Host::start(Proxy::builder(balancer(&[&upstream], 0).build().unwrap()), Keep::No);
    let worker = host.proxy.worker();
    let timeouts = Timeouts::default().connect(Duration::from_millis(1));
    worker.reconfigure(settings(&host).timeouts(timeouts).cookie(strict())).unwrap();
    assert!(get(host.address, "/").head.all("set-cookie").concat().contains("SameSite=Strict"));
}

#[test]
fn the_queue_changes_for_all() {
    let upstream = Upstream::named("app-1");
    let host = Host::start(
        Proxy::builder(balancer(&[&upstream], 1).build().unwrap()).queue(QueueSettings::default().size(0)),
        Keep::No,
    );
    let mut wire = connect(host.address);
    let held = host.proxy.balancer().pick(&homing::Request::new(homing::Timestamp::from_secs(1))).unwrap();
    assert_eq!(wire.exchange(request("GET", "/", "")).status(), 503);
    let queue = QueueSettings::default().size(1).timeout(Duration::from_secs(30));
    host.proxy.reconfigure(settings(&host).queue(queue)).unwrap();
    wire.send(request("GET", "/", "")).unwrap();
    crate::host::eventually("it waits", || host.proxy.waiting() == 1);
    assert_eq!(get(host.address, "/").status(), 503, "the second finds the queue full");
    drop(held);
    // The host made this pick itself, and its end wakes the queue as any other.
    assert_eq!(wire.response("GET").status(), 200);
}

#[test]
fn retries_change_for_all() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let upstream = Upstream::named("app-1");
    let builder = balancer(&[&upstream], 0).upstream(homing::UpstreamConfig::new("gone", gone.to_string()));
    let none = RetrySettings::default().ratio(0.0).min_per_second(0);
    let host = Host::start(Proxy::builder(builder.build().unwrap()).retry(none), Keep::No);
    let refused = |host: &Host| (0..2).filter(|_| get(host.address, "/").status() != 200).count();
    assert_eq!(refused(&host), 1);
    host.proxy
        .reconfigure(settings(&host).retry(RetrySettings::default().ratio(1.0).min_per_second(1_000_000)))
        .unwrap();
    crate::host::eventually("retries come in again", || refused(&host) == 0);
    assert!(host.proxy.retries().granted() > 0);
}

#[test]
fn settings_for_another_balancer_are_refused() {
    let upstream = Upstream::named("app-1");
    let host = Host::start(Proxy::builder(balancer(&[&upstream], 0).build().unwrap()), Keep::No);
    let other: Balancer = balancer(&[&upstream], 0).build().unwrap();
    assert_eq!(host.proxy.reconfigure(Proxy::builder(other).cookie(strict())), Err(OtherBalancer));
    assert!(get(host.address, "/").head.all("set-cookie").concat().contains("SameSite=Lax"));
}
