//! Placement by key: the same on every proxy, whichever changes led to its cluster.

use crate::{NOW, ring, upstreams};
use homing::cluster::{Cluster, Session};
use homing::policy::{Params, Policy};
use homing::{Affinity, Balancer, Change, Request, UpstreamConfig};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn by_key(upstreams: Vec<UpstreamConfig>, mode: &str) -> Balancer {
    Balancer::builder()
        .upstreams(upstreams)
        .policy_params("rendezvous", Params::new().with("mode", mode))
        .affinity(Affinity::builder(ring(0, &[])).build().unwrap())
        .build()
        .unwrap()
}

fn place(balancer: &Balancer, key: u32) -> String {
    let pick = balancer.pick(&Request::new(NOW).key(&key.to_be_bytes())).unwrap();
    pick.upstream().name().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Changes applied one by one or in batches, with new keys in between, place keys as a balancer that is built with
    /// the final configuration in another order.
    #[test]
    fn proxies_that_came_by_other_changes_place_alike(
        changes in prop::collection::vec((0..30_u16, 0..4_u16, any::<bool>()), 1..12),
        strict in any::<bool>(),
    ) {
        let mode = if strict { "strict" } else { "balanced" };
        let balancer = by_key(upstreams(15), mode);
        let mut weights: BTreeMap<String, u16> = (1..=15).map(|i| (format!("app-{i}"), 1)).collect();
        let mut batch = Vec::new();
        for (i, weight, more) in changes {
            let name = format!("app-{i}");
            if weight > 0 {
                weights.insert(name.clone(), weight);
                batch.push(Change::Put(UpstreamConfig::new(name, "10.0.0.1:8080").weight(weight)));
            } else if weights.len() > 1 && weights.remove(&name).is_some() {
                batch.push(Change::Remove(name));
            }
            if !more {
                balancer.apply(balancer.plan(&batch).unwrap()).unwrap();
                balancer.set_keys(ring(0, &[])).unwrap();
                batch.clear();
            }
        }
        balancer.apply(balancer.plan(&batch).unwrap()).unwrap();
        let configs = weights.iter().rev().map(|(name, w)| UpstreamConfig::new(name, "10.0.0.1:8080").weight(*w));
        let anew = by_key(configs.collect(), mode);
        for key in 0..500 {
            prop_assert_eq!(place(&balancer, key), place(&anew, key));
        }
    }
}

/// A policy that counts how often it was rebuilt from its predecessor.
#[derive(Debug)]
struct Successor {
    predecessors: usize,
}

impl Policy for Successor {
    fn place(&self, _: &Cluster, _: &Session<'_>) -> Option<usize> {
        Some(self.predecessors)
    }

    fn rebuilt(&self, _: &Cluster) -> Option<Box<dyn Policy>> {
        (self.predecessors < 3).then(|| -> Box<dyn Policy> { Box::new(Self { predecessors: self.predecessors + 1 }) })
    }
}

#[test]
fn a_policy_is_rebuilt_from_its_predecessor_if_it_supports_that() {
    let built = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&built);
    let balancer = Balancer::builder()
        .upstreams(upstreams(9))
        .affinity(Affinity::builder(ring(0, &[])).build().unwrap())
        .policy_with(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Box::new(Successor { predecessors: 0 })
        })
        .build()
        .unwrap();
    let put = [Change::Put(UpstreamConfig::new("app-9", "10.0.0.9:8080").weight(2))];
    let stale = balancer.plan(&put).unwrap();
    for (expected, name) in [(1, "app-2"), (1, "app-3"), (1, "app-4"), (2, "app-1")] {
        match name {
            "app-3" => balancer.set_keys(ring(1, &[0])).unwrap(),
            _ => balancer.apply(balancer.plan(&put).unwrap()).unwrap(),
        };
        assert_eq!(place(&balancer, 0), name);
        assert_eq!(built.load(Ordering::Relaxed), expected);
    }
    assert!(balancer.apply(stale).is_err());
    assert_eq!(built.load(Ordering::Relaxed), 2, "nothing is built for a plan that is stale already");
}

#[test]
fn a_key_takes_precedence_over_the_client_and_the_client_over_chance() {
    let balancer = by_key(upstreams(50), "strict");
    let at = |request: &Request<'_>| balancer.pick(request).unwrap().upstream().name().to_owned();
    let client = |text: &str| text.parse().unwrap();
    let keyed = Request::new(NOW).key(b"user-7");
    let pinned = at(&keyed);
    assert!((0..50).all(|i| at(&keyed.client(client(&format!("192.0.2.{i}")))) == pinned));
    let addressed = Request::new(NOW).client(client("192.0.2.7"));
    let pinned = at(&addressed);
    assert!((0..50).all(|_| at(&addressed) == pinned));
    assert_eq!(at(&Request::new(NOW).client(client("::ffff:192.0.2.7"))), pinned, "one client, two spellings");
    assert!((0..50).any(|_| at(&Request::new(NOW)) != pinned));
}
