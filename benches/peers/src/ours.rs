//! Homing: each policy alone, and in a balancer.

use crate::{Key, Placement, Visitor, address};
use homing::balancer::ClusterRef;
use homing::cluster::Session;
use homing::policy::{self, PolicyEntry, Factory, Params, Policy};
use homing::{Balancer, Change, Cluster, Pick, Request, Timestamp, Upstream, UpstreamConfig};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Variants of policies by a parameter: policy, parameter, value.
const VARIANTS: [(&str, &str, &str); 2] = [("rendezvous", "mode", "strict"), ("least_sessions", "d", "all")];

/// Every policy of the registry, and its variants, alone: `homing NAME, policy alone`.
pub fn alone(visitor: &mut impl Visitor) {
    for (name, _, _, factory) in policies() {
        visitor.visit(&format!("homing {name}, policy alone"), |numbers| Alone::new(&factory, numbers));
    }
}

/// The policies of the registry, and their variants, whose placement depends on the key alone: `homing NAME`.
pub fn keyed(visitor: &mut impl Visitor) {
    for (name, _, _, factory) in policies() {
        if Alone::new(&factory, 0..100).goes_by_key() {
            visitor.visit(&format!("homing {name}"), |numbers| Alone::new(&factory, numbers));
        }
    }
}

/// All policies in balancers: `homing NAME`. A pick takes a lease, which ends when the answer is dropped.
pub fn whole(visitor: &mut impl Visitor) {
    for (name, entry, params, _) in policies() {
        visitor.visit(&format!("homing {name}"), |numbers| Whole::new(entry, params.clone(), numbers));
    }
}

/// A balancer whose policy has no state, as the baseline of memory.
pub fn bare(numbers: Range<usize>) -> Balancer {
    let builder = Balancer::builder().upstreams(numbers.map(config)).policy_with(|_| Box::new(First));
    builder.build().expect("upstreams have names of their own")
}

fn policies() -> impl Iterator<Item = (String, &'static PolicyEntry, Params, Factory)> {
    let variants = |entry: &'static PolicyEntry| {
        let variants = VARIANTS.iter().filter(move |(name, ..)| *name == entry.name);
        let params =
            variants.map(|(name, param, value)| (format!("{name} {value}"), Params::new().with(*param, value)));
        std::iter::once((entry.name.to_owned(), Params::new())).chain(params)
    };
    policy::registry().iter().flat_map(move |entry| {
        variants(entry).map(move |(name, params)| {
            let factory = entry.configure(params.clone()).expect("a variant has the policy's parameters");
            (name, entry, params, factory)
        })
    })
}

fn config(number: usize) -> UpstreamConfig {
    UpstreamConfig::new(format!("app-{number}"), address(number).to_string())
}

fn number(upstream: &Upstream) -> usize {
    upstream.name().strip_prefix("app-").and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
}

fn client(key: &Key) -> IpAddr {
    Ipv4Addr::new(key[0], key[1], key[2], key[3]).into()
}

fn change(balancer: &Balancer, change: Change) {
    let plan = balancer.plan(&[change]).expect("only what is there is removed");
    balancer.apply(plan).expect("no other thread changes the balancer");
}

#[derive(Debug)]
struct First;

impl Policy for First {
    fn place(&self, _: &Cluster, _: &Session<'_>) -> Option<usize> {
        Some(0)
    }
}

struct Alone {
    balancer: Balancer,
    cluster: ClusterRef,
    factory: Factory,
    policy: Box<dyn Policy>,
}

impl Alone {
    fn new(factory: &Factory, numbers: Range<usize>) -> Self {
        let balancer = bare(numbers);
        let cluster = balancer.cluster();
        let policy = factory(&cluster);
        Self { balancer, cluster, factory: factory.clone(), policy }
    }

    fn place_session(&self, key: &Key, session_id: u64) -> Option<usize> {
        self.policy.place(&self.cluster, &Session::new(session_id, NOW).client(client(key)).key(key))
    }

    /// Whether placement is independent of randomness and of earlier placements.
    fn goes_by_key(&self) -> bool {
        (0..100).map(crate::key).all(|key| {
            let mut placed = (0..20_u64).map(|n| self.place_session(&key, n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let first = placed.next();
            placed.all(|other| Some(other) == first)
        })
    }

    fn change(&mut self, wish: Change) {
        change(&self.balancer, wish);
        self.cluster = self.balancer.cluster();
        self.policy = (self.factory)(&self.cluster);
    }
}

impl Placement for Alone {
    type Answer = Option<usize>;

    fn place(&mut self, key: &Key) -> Option<usize> {
        // The key provides the session id, from which policies take their randomness.
        let [a, b, c, d, e, f, g, h, ..] = *key;
        self.place_session(key, u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    fn number(&self, answer: &Option<usize>) -> usize {
        let member = answer.and_then(|index| self.cluster.members().get(index));
        member.map_or(usize::MAX, |member| number(member.upstream()))
    }

    fn add(&mut self, number: usize) {
        self.change(Change::Put(config(number)));
    }

    fn remove(&mut self, number: usize) {
        self.change(Change::Remove(format!("app-{number}")));
    }
}

struct Whole(Balancer);

impl Whole {
    fn new(entry: &PolicyEntry, params: Params, numbers: Range<usize>) -> Self {
        let builder = Balancer::builder().upstreams(numbers.map(config)).policy_params(entry.name, params);
        Self(builder.build().expect("a variant has the policy's parameters"))
    }
}

impl Placement for Whole {
    type Answer = Option<Pick>;

    fn place(&mut self, key: &Key) -> Option<Pick> {
        self.0.pick(&Request::new(NOW).client(client(key)).key(key)).ok()
    }

    fn number(&self, answer: &Option<Pick>) -> usize {
        answer.as_ref().map_or(usize::MAX, |pick| number(pick.upstream()))
    }

    fn add(&mut self, number: usize) {
        change(&self.0, Change::Put(config(number)));
    }

    fn remove(&mut self, number: usize) {
        change(&self.0, Change::Remove(format!("app-{number}")));
    }
}
