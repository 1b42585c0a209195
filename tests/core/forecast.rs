//! The forecast of a plan equals the effect of applying it.

use crate::{NOW, balancer, upstream, upstreams, visit};
use homing::balancer::Capacity;
use homing::{Availability, Balancer, Change, Request, UpstreamConfig};

const KEYED: [&str; 6] = ["ip_hash", "hash", "ketama", "chash", "maglev", "rendezvous"];

fn keyed(policy: &str, count: usize) -> Balancer {
    Balancer::builder().upstreams(upstreams(count)).policy(policy).build().unwrap()
}

/// The upstreams of 5000 requests, each with a key and a client address, for policies that hash the one or the other.
fn places(balancer: &Balancer) -> Vec<String> {
    (0..5000_u32)
        .map(|n| {
            let n = n.wrapping_mul(0x9e37_79b9);
            let key = n.to_string();
            let request = Request::new(NOW).client(n.to_be_bytes().into()).key(key.as_bytes());
            balancer.pick(&request).unwrap().upstream().name().to_owned()
        })
        .collect()
}

#[test]
fn the_share_of_keys_that_moves_is_forecast() {
    for policy in KEYED {
        let balancer = keyed(policy, 10);
        for change in [Change::Remove("app-4".into()), Change::Put(UpstreamConfig::new("new", "10.1.0.1:80").weight(3))]
        {
            let plan = balancer.plan(&[change]).unwrap();
            let told = balancer.forecast(&plan, NOW).unwrap().moved_keys.unwrap();
            let before = places(&balancer);
            balancer.apply(plan).unwrap();
            let moved = before.iter().zip(places(&balancer)).filter(|(before, after)| *before != after).count();
            let moved = moved as f64 / before.len() as f64;
            assert!(moved > 0.05 && (told - moved).abs() < 0.03, "{policy}: {told} was told, {moved} moved");
        }
    }
    let balancer = keyed("p2c", 3);
    let plan = balancer.plan(&[Change::Remove("app-1".into())]).unwrap();
    assert_eq!(balancer.forecast(&plan, NOW).unwrap().moved_keys, None);
}

#[test]
fn sessions_break_if_their_process_is_removed_or_replaced() {
    let balancer = balancer(upstreams(4));
    for _ in 0..200 {
        visit(&balancer);
    }
    let broken = |change| {
        let plan = balancer.plan(&[change]).unwrap();
        balancer.forecast(&plan, NOW).unwrap().broken_sessions
    };
    let on = |name| u64::from(upstream(&balancer, name).live_sessions(NOW));
    assert!((45..55).contains(&on("app-2")));
    assert_eq!(broken(Change::Remove("app-2".into())), on("app-2"));
    assert_eq!(broken(Change::Put(UpstreamConfig::new("app-3", "10.9.9.9:80"))), on("app-3"));
    assert_eq!(broken(Change::Put(UpstreamConfig::new("app-3", "10.0.0.3:8080").weight(9))), 0);
    assert_eq!(broken(Change::Put(UpstreamConfig::new("app-5", "10.0.0.5:8080"))), 0);
}

#[test]
fn a_forecast_reads_like_this() {
    let balancer = balancer(upstreams(2).into_iter().map(|upstream| upstream.max_in_flight(50)).collect());
    upstream(&balancer, "app-2").set_availability(Availability::DOWN);
    let changes = [
        Change::Remove("app-1".into()),
        Change::Put(UpstreamConfig::new("app-3", "10.0.0.3:80").weight(2).max_in_flight(9)),
    ];
    let plan = balancer.plan(&changes).unwrap();
    let forecast = balancer.forecast(&plan, NOW).unwrap();
    let Capacity { upstreams, accepting, weight, max_in_flight, .. } = forecast.before;
    assert_eq!((upstreams, accepting, weight, max_in_flight), (2, 1, 1, Some(50)));
    assert_eq!(
        forecast.to_string(),
        "after generation 1:\n\
         - app-1: removed; 0 in flight finish, its sessions are placed anew\n\
         - app-3: added; takes new sessions\n\
         - about 0 live sessions break\n\
         - capacity: 1 of 2 upstreams accept (weight 2, 9 requests at once), \
         now 1 of 2 upstreams accept (weight 1, 50 requests at once)"
    );
    balancer.apply(balancer.plan(&[Change::Put(UpstreamConfig::new("app-4", "10.0.0.4:80"))]).unwrap()).unwrap();
    assert!(balancer.forecast(&plan, NOW).is_err(), "a stale plan was forecast");
}
