//! `peak_ewma` in the gateway: a slow upstream gets fewer requests.

use std::sync::mpsc;
use std::time::Duration;

use crate::support::client::get;
use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;

/// How many of 60 requests, one after the other, reach an upstream that answers each only after `pause`, beside one
/// that answers at once.
fn reach_the_slow(policy: &str, pause: Duration) -> usize {
    // Nothing is ever sent, so this waits for exactly the pause.
    let (_keep, never) = mpsc::channel::<()>();
    let never = std::sync::Mutex::new(never);
    let slow = Upstream::start("slow", move |exchange| {
        let _ = never.lock().expect("the only user").recv_timeout(pause);
        exchange.ok("slow")
    });
    let quick = Upstream::named("quick");
    let settings = format!("[affinity]\nenabled = false\n[policy]\nname = \"{policy}\"");
    let gateway = Gateway::start(&settings, &[&slow, &quick]);
    for _ in 0..60 {
        assert_eq!(get(gateway.address(), "/").status(), 200);
    }
    slow.seen().len()
}

#[test]
fn a_slow_upstream_gets_less() {
    let pause = Duration::from_millis(250);
    let count = reach_the_slow("peak_ewma", pause);
    assert!((1..15).contains(&count), "{count} of 60 reached the slow one");
    // The control uses `round_robin`.
    assert_eq!(reach_the_slow("round_robin", Duration::from_millis(1)), 30);
}
