//! Sessions migrated from another proxy.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use homing::affinity::{LegacyFormat, Secret};

use crate::support::client::{Response, exchange, request};
use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;
use crate::support::visitor::token;

fn with_cookies(address: SocketAddr, cookies: &str) -> Response {
    let response = exchange(address, request("GET", "/", &format!("Cookie: {cookies}\r\n")));
    assert_eq!(response.status(), 200, "{response:?}");
    response
}

fn before(settings: &str, upstreams: &[Upstream]) -> Gateway {
    let settings = format!("[affinity]\n{settings}\n[policy]\nname = \"round_robin\"");
    Gateway::start(&settings, &upstreams.iter().collect::<Vec<_>>())
}

/// Each `from` of the configuration, with its further keys.
fn formats() -> [(&'static str, LegacyFormat); 8] {
    let secret = || Secret::new("a secret");
    [
        ("from = \"nginx-md5\"", LegacyFormat::NginxMd5),
        ("from = \"nginx-route\"", LegacyFormat::NginxRoute),
        ("from = \"haproxy\"", LegacyFormat::HaProxy),
        ("from = \"haproxy-dynamic\", secret = \"a secret\"", LegacyFormat::HaProxyDynamic { key: secret() }),
        ("from = \"traefik\"", LegacyFormat::Traefik),
        ("from = \"caddy\", secret = \"a secret\"", LegacyFormat::Caddy { secret: secret() }),
        ("from = \"yarp-hash\"", LegacyFormat::YarpHash),
        ("from = \"arr\"", LegacyFormat::Arr),
    ]
}

#[test]
fn no_user_is_logged_out_whatever_the_format() {
    let upstreams = Upstream::several(3);
    for (from, format) in formats() {
        let mut gateway = before(&format!("accept = [{{ {from}, cookie = \"lb\" }}]"), &upstreams);
        for _ in 0..2 {
            for upstream in &upstreams {
                let value = format.value(&upstream.name, &upstream.address.to_string()).expect("a value");
                let first = with_cookies(gateway.address(), &format!("a=1; lb={value}"));
                assert_eq!(first.text(), upstream.name, "{from}");
                let ours = token(&first.head).expect("our cookie");
                // With both cookies, and with the gateway's alone.
                for cookies in [format!("lb={value}; homing={ours}"), format!("homing={ours}")] {
                    let again = with_cookies(gateway.address(), &cookies);
                    assert_eq!((again.text(), token(&again.head)), (upstream.name.clone(), None), "{from}");
                }
            }
        }
        gateway.terminate();
        assert!(gateway.wait().success());
        assert_eq!(gateway.log().matches("decision=\"pinned\"").count(), 18, "{}", gateway.log());
    }
}

#[test]
fn what_is_not_accepted_is_noticed() {
    let upstreams = Upstream::several(3);
    let accept = |entry: &str| format!("accept = [{{ {entry} }}]");
    for settings in
        [String::new(), accept("from = \"haproxy\", cookie = \"other\""), accept("from = \"arr\", cookie = \"SRV\"")]
    {
        let gateway = before(&settings, &upstreams);
        let places: BTreeSet<_> = (0..3).map(|_| with_cookies(gateway.address(), "SRV=app-2").text()).collect();
        assert_eq!(places.len(), 3, "{settings:?} pinned all to {places:?}");
    }
}

#[test]
fn the_other_proxys_cookie_reaches_the_application() {
    let upstreams = Upstream::several(2);
    let gateway = before("accept = [{ from = \"nginx-route\", cookie = \"JSESSIONID\" }]", &upstreams);
    let cookies = "a=1; JSESSIONID=2B6F.app-2;b=2";
    let first = with_cookies(gateway.address(), cookies);
    assert_eq!(upstreams[1].only().head.all("cookie"), [cookies]);
    let ours = token(&first.head).expect("our cookie");
    with_cookies(gateway.address(), &format!("{cookies}; homing={ours}"));
    assert_eq!(upstreams[1].last().head.all("cookie"), [cookies]);
}

#[test]
fn cookies_count_in_the_order_of_the_configuration() {
    let upstreams = Upstream::several(4);
    let accept = "accept = [{ from = \"haproxy\", cookie = \"SRV\" }, { from = \"nginx-route\", cookie = \"route\" }]";
    let gateway = before(accept, &upstreams);
    for (cookies, place) in [
        ("route=app-3; SRV=app-2", "app-2"),
        ("route=app-3; SRV=strange", "app-3"),
        ("SRV=strange; SRV=\"app-4\"; route=app-3", "app-4"),
        ("homing=garbage; route=app-3", "app-3"),
    ] {
        for _ in 0..3 {
            assert_eq!(with_cookies(gateway.address(), cookies).text(), place, "{cookies}");
        }
    }
}

#[test]
fn where_the_upstream_is_dead_the_session_moves_once() {
    let mut upstreams = Upstream::several(4);
    let settings = "lost_header = \"homing-lost\"\naccept = [{ from = \"haproxy\", cookie = \"SRV\" }]";
    let gateway = before(settings, &upstreams);
    upstreams[1].stop();
    let moved = with_cookies(gateway.address(), "SRV=app-2");
    assert_ne!(moved.text(), "app-2");
    assert_eq!(moved.head.one("homing-lost").as_deref(), Some("not_serving"));
    let ours = token(&moved.head).expect("our cookie");
    upstreams[1].restart();
    let settled = with_cookies(gateway.address(), &format!("SRV=app-2; homing={ours}"));
    assert_eq!((settled.text(), token(&settled.head)), (moved.text(), None));
}
