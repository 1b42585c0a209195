//! Open tunnels and live sessions.

use crate::host::{Host, Keep, eventually, proxy};
use crate::support::client::get;
use crate::support::upstream::Upstream;
use crate::support::websocket;
use homing::Timestamp;
use homing::time::{Clock, FakeClock};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_session_is_live_for_as_long_as_its_tunnel_is_open() {
    let upstream = Upstream::start("app-1", |exchange| match exchange.head.one("upgrade") {
        Some(_) => websocket::echo(exchange),
        None => exchange.ok("a page"),
    });
    let clock = Arc::new(FakeClock::new(Timestamp::from_secs(2_000_000_000)));
    let host = Host::start(proxy(&[&upstream]).clock(Arc::clone(&clock)), Keep::WithoutProbes);
    let live = |count: u32| {
        eventually(&format!("{count} sessions are live"), || {
            let cluster = host.proxy.balancer().cluster();
            cluster.members()[0].upstream().live_sessions(clock.now()) == count
        });
    };
    let window = Duration::from_secs(128);
    let (tunnel, _) = websocket::open(host.address, "");
    assert_eq!(get(host.address, "/").text(), "a page");
    live(2);
    clock.advance(window);
    live(2);
    // The session with one request is forgotten, and the session with a tunnel is not.
    clock.advance(window);
    live(1);
    for _ in 0..3 {
        clock.advance(100 * window);
        live(1);
    }
    drop(tunnel);
    eventually("the tunnel is closed", || {
        host.proxy.traffic(host.proxy.balancer().cluster().members()[0].upstream()).tunnels() == 0
    });
    clock.advance(2 * window);
    live(0);
}
