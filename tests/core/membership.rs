//! Changes of the cluster: planned, then applied as a whole or not at all, and no session moves without need.

use crate::{NOW, balancer, pick, ring, upstream, upstreams, visit};
use homing::affinity::Rebalance;
use homing::cluster::{ApplyError, ClusterError, Effect, MAX_UPSTREAMS, PlanError, UpstreamId};
use homing::policy::{self, Params};
use homing::{
    Affinity, Availability, Balancer, BuildError, Change, Decision, Generation, PickError, PinLoss, Request, Token,
    UpstreamConfig,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn put(name: &str, address: &str) -> Change {
    Change::Put(UpstreamConfig::new(name, address))
}

fn apply(balancer: &Balancer, changes: &[Change]) -> Generation {
    balancer.apply(balancer.plan(changes).unwrap()).unwrap()
}

fn names(balancer: &Balancer) -> Vec<String> {
    balancer.cluster().members().iter().map(|m| m.upstream().name().to_owned()).collect()
}

#[test]
fn a_plan_lists_its_effects_and_changes_nothing() {
    let balancer = balancer(upstreams(3));
    let held = pick(&balancer, &[]);
    assert_eq!(held.upstream().name(), "app-1");
    let changes = [
        Change::Remove("app-1".into()),
        Change::Put(UpstreamConfig::new("app-2", "10.0.0.2:8080").weight(5)),
        put("app-3", "10.0.0.3:8080"),
        put("app-4", "10.0.0.4:8080"),
    ];
    let plan = balancer.plan(&changes).unwrap();
    assert_eq!(plan.base(), balancer.generation());
    let removed = Effect::Removed { name: "app-1".into(), in_flight: 1 };
    assert_eq!(plan.effects(), [removed, Effect::Changed("app-2".into()), Effect::Added("app-4".into())]);
    assert_eq!(names(&balancer), ["app-1", "app-2", "app-3"], "planning changed the cluster");

    assert_eq!(balancer.generation().as_u64(), 1);
    assert_eq!(balancer.apply(plan).unwrap().as_u64(), 2);
    assert_eq!(balancer.generation().as_u64(), 2);
    assert_eq!(names(&balancer), ["app-2", "app-3", "app-4"]);
    assert_eq!(balancer.cluster().find_name("app-2").unwrap().weight(), 5);
    assert_eq!(balancer.cluster().total_weight(), 7);
}

#[test]
fn a_stale_plan_is_refused_as_a_whole() {
    let balancer = balancer(upstreams(2));
    let first = balancer.plan(&[put("app-3", "10.0.0.3:8080")]).unwrap();
    let second = balancer.plan(&[Change::Remove("app-1".into())]).unwrap();
    let planned = balancer.generation();
    let current = balancer.apply(second).unwrap();
    assert_eq!(balancer.apply(first).unwrap_err(), ApplyError::Stale { planned, current });
    assert_eq!(names(&balancer), ["app-2"]);
    assert_eq!(balancer.generation(), current);

    // New keys are a new generation too: a plan made under the old ones does not undo them.
    let plan = balancer.plan(&[put("app-3", "10.0.0.3:8080")]).unwrap();
    balancer.set_keys(ring(1, &[0])).unwrap();
    assert!(matches!(balancer.apply(plan), Err(ApplyError::Stale { .. })));
    assert_eq!(balancer.affinity().unwrap().keys().signer(), 1);
}

#[test]
fn invalid_clusters_are_refused() {
    let built = |configs: Vec<UpstreamConfig>| match Balancer::builder().upstreams(configs).build() {
        Err(BuildError::Cluster(error)) => error,
        other => panic!("{other:?}"),
    };
    let named = |name: &str| UpstreamConfig::new(name, "10.0.0.1:80");
    assert_eq!(built(vec![named("a").weight(0)]), ClusterError::ZeroWeight { name: "a".into() });
    assert_eq!(built(vec![named("a"), named("b"), named("a")]), ClusterError::Duplicate { name: "a".into() });
    let long = "x".repeat(256);
    for bad in ["", "with space", "tab\t", "umläut", "line\n", long.as_str()] {
        assert_eq!(built(vec![named(bad)]), ClusterError::Name { name: bad.into() });
    }
    assert!(Balancer::builder().upstream(named(&long[1..]).weight(65535)).build().is_ok());

    let many = |count: usize| (0..count).map(|i| UpstreamConfig::new(format!("app-{i}"), "10.0.0.1:80"));
    assert_eq!(built(many(MAX_UPSTREAMS + 1).collect()), ClusterError::TooMany { count: MAX_UPSTREAMS + 1 });
    let largest = Balancer::builder().upstreams(many(MAX_UPSTREAMS)).build().unwrap();
    assert_eq!(largest.cluster().len(), MAX_UPSTREAMS);

    // The same for plans, which change nothing then.
    let planned = |balancer: &Balancer, change: Change| balancer.plan(&[change]).unwrap_err();
    let one_more = planned(&largest, put("more", "10.0.0.1:80"));
    assert_eq!(one_more, PlanError::Cluster(ClusterError::TooMany { count: MAX_UPSTREAMS + 1 }));
    let small = balancer(upstreams(1));
    assert_eq!(planned(&small, Change::Remove("b".into())), PlanError::Unknown { name: "b".into() });
    let zero = planned(&small, Change::Put(named("b").weight(0)));
    assert_eq!(zero, PlanError::Cluster(ClusterError::ZeroWeight { name: "b".into() }));
    assert_eq!(small.generation().as_u64(), 1);
}

/// From no upstream to some and back, under each policy, with sessions and without.
#[test]
fn a_cluster_may_be_empty_at_first_and_become_so() {
    let key: &[u8] = b"key";
    for (entry, params) in policy::registry().iter().flat_map(|entry| {
        let params = match entry.name {
            "rendezvous" => vec![Params::new(), Params::new().with("load_factor", "1.5")],
            "least_sessions" => vec![Params::new(), Params::new().with("d", "all")],
            "chash" => vec![Params::new(), Params::new().with("balance", "source")],
            _ => vec![Params::new()],
        };
        params.into_iter().map(move |params| (entry, params))
    }) {
        for affinity in [None, Some(Affinity::builder(ring(0, &[])).build().unwrap())] {
            let mut builder = Balancer::builder().policy_params(entry.name, params.clone());
            builder = builder.rebalance(Rebalance::default().budget_per_minute(60));
            if let Some(affinity) = affinity {
                builder = builder.affinity(affinity);
            }
            let balancer = builder.build().unwrap();
            let request = Request::new(NOW).client([192, 0, 2, 1].into()).key(key);
            let nothing = |tokens: &[&[u8]]| {
                balancer.tick(NOW);
                let request = request.tokens(tokens);
                let error = balancer.pick(&request).unwrap_err();
                assert!(matches!(error, PickError::Unavailable), "{}: {error}", entry.name);
                let explained = balancer.explain(&request);
                assert_eq!((explained.upstream, explained.decision), (None, None));
                assert!(balancer.status().is_empty() && !balancer.panics());
                let placed = balancer.lease(UpstreamId::from_u64(1), 1, Decision::New, NOW);
                assert!(matches!(placed, Err(PickError::Unavailable)));
            };
            nothing(&[]);
            let token = {
                let plan = balancer.plan_to(&upstreams(2)).unwrap();
                assert_eq!(balancer.forecast(&plan, NOW).unwrap().before.upstreams, 0);
                balancer.apply(plan).unwrap();
                balancer.pick(&request).unwrap().token
            };
            let held = balancer.pick(&request).unwrap();
            let none = balancer.plan_to(&[]).unwrap();
            assert_eq!((none.effects().len(), balancer.forecast(&none, NOW).unwrap().after.upstreams), (2, 0));
            balancer.apply(none).unwrap();
            let tokens: Vec<&[u8]> = token.iter().map(|token| token.as_bytes()).collect();
            nothing(&tokens);
            assert_eq!(held.upstream().in_flight(), 1, "its request goes on");
            drop(held);
            apply(&balancer, &[put("app-1", "10.0.0.1:8080")]);
            assert_eq!(balancer.pick(&request).unwrap().upstream().name(), "app-1");
        }
    }
}

#[test]
fn an_unknown_policy_is_refused_with_the_names_there_are() {
    let error = Balancer::builder().upstreams(upstreams(1)).policy("fastest").build().unwrap_err().to_string();
    assert!(error.contains("\"fastest\"") && error.contains("least_conn"), "{error}");
}

#[test]
fn the_changes_of_a_plan_apply_in_order() {
    let balancer = balancer(upstreams(2));
    let before = upstream(&balancer, "app-1");
    // Removed and put again: it moves to the end and keeps its cell, since it is the same process.
    apply(&balancer, &[Change::Remove("app-1".into()), put("app-1", "10.0.0.1:8080")]);
    assert_eq!(names(&balancer), ["app-2", "app-1"]);
    assert!(std::sync::Arc::ptr_eq(&before, &upstream(&balancer, "app-1")));
    let error = balancer.plan(&[Change::Remove("app-1".into()), Change::Remove("app-1".into())]).unwrap_err();
    assert_eq!(error, PlanError::Unknown { name: "app-1".into() });
    apply(&balancer, &[put("app-9", "a"), put("app-9", "b"), Change::Remove("app-2".into())]);
    assert_eq!(names(&balancer), ["app-1", "app-9"]);
    assert_eq!(upstream(&balancer, "app-9").address(), "b");
}

#[test]
fn counts_and_availability_survive_changes_of_other_upstreams() {
    let balancer = balancer(upstreams(2));
    let held = pick(&balancer, &[]);
    let name = held.upstream().name().to_owned();
    held.upstream().set_availability(Availability::DRAINING);
    held.upstream().set_incarnation(4);
    apply(&balancer, &[put("app-3", "10.0.0.3:8080")]);
    balancer.set_keys(ring(1, &[0])).unwrap();
    // A change of the weight is not a change of the process.
    apply(&balancer, &[Change::Put(UpstreamConfig::new(&name, held.upstream().address()).weight(9))]);
    let after = upstream(&balancer, &name);
    assert_eq!((after.in_flight(), after.total(), after.decided(Decision::New)), (1, 1, 1));
    assert_eq!((after.availability(), after.incarnation()), (Availability::DRAINING, 4));
    drop(held);
    assert_eq!(after.in_flight(), 0);

    // Another address is another process: counts and availability start anew, the id stays.
    apply(&balancer, &[put(&name, "10.9.9.9:8080")]);
    let moved = upstream(&balancer, &name);
    assert_eq!((moved.total(), moved.availability(), moved.incarnation()), (0, Availability::ACTIVE, 0));
    assert_eq!(moved.id(), after.id());
}

#[test]
fn a_lease_outlives_the_removal_of_its_upstream() {
    let balancer = balancer(upstreams(2));
    let (held, token) = visit(&balancer);
    let name = held.upstream().name().to_owned();
    apply(&balancer, &[Change::Remove(name.clone())]);
    assert_eq!((held.upstream().name(), held.upstream().in_flight()), (name.as_str(), 1));
    // It is added again before the lease ends: a new process, whose count the old lease does not touch.
    apply(&balancer, &[put(&name, held.upstream().address())]);
    let back = upstream(&balancer, &name);
    assert_eq!(back.in_flight(), 0);
    let again = pick(&balancer, &[token.as_bytes()]);
    assert_eq!((again.decision, again.upstream().name()), (Decision::Pinned, name.as_str()));
    drop(held);
    assert_eq!(back.in_flight(), 1);
    drop(again);
    assert_eq!(back.in_flight(), 0);
}

/// A step of the property below. The numbers select among the members, by index modulo their number.
#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Remove(u8),
    Reweigh(u8, u16),
    Readdress(u8, u8),
    NewKeys(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u8>().prop_map(Step::Add),
        any::<u8>().prop_map(Step::Remove),
        (any::<u8>(), 1_u16..).prop_map(|(at, weight)| Step::Reweigh(at, weight)),
        (any::<u8>(), any::<u8>()).prop_map(|(at, host)| Step::Readdress(at, host)),
        any::<bool>().prop_map(Step::NewKeys),
    ]
}

/// The change that a step makes to a cluster of these names, if any.
fn change(step: &Step, names: &[String]) -> Option<Change> {
    let at = |n: &u8| names[usize::from(*n) % names.len()].clone();
    match step {
        Step::Add(n) => Some(put(&format!("app-{n}"), &format!("10.0.0.{n}:8080"))),
        Step::Remove(n) => (names.len() > 1).then(|| Change::Remove(at(n))),
        Step::Reweigh(n, weight) => Some(Change::Put(UpstreamConfig::new(at(n), "10.0.0.1:8080").weight(*weight))),
        Step::Readdress(n, host) => Some(put(&at(n), &format!("10.1.0.{host}:8080"))),
        Step::NewKeys(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any changes in any order: a session whose upstream stays in the cluster is pinned to it, one whose
    /// upstream was removed moves once, and no other session moves.
    #[test]
    fn sessions_of_surviving_upstreams_never_move(steps in prop::collection::vec(step(), 1..40)) {
        let balancer = balancer(upstreams(4));
        let mut sessions: Vec<(Token, String)> = Vec::new();
        for step in &steps {
            for _ in 0..4 {
                let (placed, token) = visit(&balancer);
                sessions.push((token, placed.upstream().name().to_owned()));
            }
            if let Some(change) = change(step, &names(&balancer)) {
                apply(&balancer, &[change]);
            }
            if let Step::NewKeys(first) = step {
                balancer.set_keys(if *first { ring(0, &[1]) } else { ring(1, &[0]) }).unwrap();
            }
            let present: BTreeMap<String, ()> = names(&balancer).into_iter().map(|name| (name, ())).collect();
            for (token, pinned) in &mut sessions {
                let pick = pick(&balancer, &[token.as_bytes()]);
                match present.contains_key(pinned) {
                    true => {
                        prop_assert_eq!(pick.decision, Decision::Pinned);
                        prop_assert_eq!(pick.upstream().name(), pinned.as_str());
                    }
                    false => {
                        prop_assert_eq!(pick.decision, Decision::PinLost(PinLoss::NoSuchUpstream));
                        prop_assert!(pick.token.is_some());
                        *pinned = pick.upstream().name().to_owned();
                    }
                }
                *token = pick.token.unwrap_or(*token);
            }
        }
    }
}

/// An upstream of any list: few names and addresses, so that lists share some, repeat some, and are refused at times.
fn listed() -> impl Strategy<Value = UpstreamConfig> {
    (0_u8..8, 0_u8..3, 0_u16..4, 0_u32..3).prop_map(|(name, host, weight, limit)| {
        let name = if name == 0 { String::new() } else { format!("app-{name}") };
        UpstreamConfig::new(name, format!("10.0.0.{host}:8080")).weight(weight).max_in_flight(limit)
    })
}

fn list() -> impl Strategy<Value = Vec<UpstreamConfig>> {
    let valid = prop::collection::btree_map(1_u8..8, (0_u8..3, 1_u16..4, 0_u32..3), 1..8).prop_map(|upstreams| {
        let config = |(name, (host, weight, limit)): (u8, (u8, u16, u32))| {
            UpstreamConfig::new(format!("app-{name}"), format!("10.0.0.{host}:8080"))
                .weight(weight)
                .max_in_flight(limit)
        };
        upstreams.into_iter().map(config).collect::<Vec<_>>()
    });
    prop_oneof![4 => valid.prop_shuffle(), 1 => prop::collection::vec(listed(), 0..8)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Against its definition, to remove every upstream and to put those of the list: the same members in the same
    /// order, sharing the same upstreams, with the same effects, or the same refusal.
    #[test]
    fn plan_to_is_remove_all_and_put_all(lists in prop::collection::vec(list(), 1..6)) {
        let balancer = balancer(upstreams(3));
        for list in lists {
            let changes: Vec<Change> = names(&balancer)
                .into_iter()
                .map(Change::Remove)
                .chain(list.iter().cloned().map(Change::Put))
                .collect();
            let distinct = list.iter().map(|config| &config.name).collect::<BTreeSet<_>>().len();
            let definition = balancer.plan(&changes);
            let plan = match balancer.plan_to(&list) {
                Ok(plan) => plan,
                // A second `Put` of a name changes the first; in a list it is an error.
                Err(error) if distinct < list.len() => {
                    prop_assert!(matches!(error, PlanError::Cluster(_)), "{error}");
                    continue;
                }
                Err(error) => {
                    prop_assert_eq!(definition.unwrap_err(), error);
                    continue;
                }
            };
            prop_assert_eq!(distinct, list.len());
            let definition = definition.unwrap();
            prop_assert_eq!(plan.base(), definition.base());
            prop_assert_eq!(plan.effects(), definition.effects());
            let configs = |plan: &homing::Plan| plan.cluster().members().iter().map(|m| m.config()).collect::<Vec<_>>();
            prop_assert_eq!(configs(&plan), list.clone());
            prop_assert_eq!(configs(&definition), list);
            let old: Vec<_> = balancer.cluster().members().iter().map(|m| m.upstream().clone()).collect();
            let kept = |plan: &homing::Plan| {
                let is_old = |m: &homing::cluster::Member| {
                    old.iter().position(|old| std::sync::Arc::ptr_eq(old, m.upstream()))
                };
                plan.cluster().members().iter().map(is_old).collect::<Vec<_>>()
            };
            prop_assert_eq!(kept(&plan), kept(&definition));
            balancer.apply(plan).unwrap();
        }
    }
}
