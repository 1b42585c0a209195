//! The conformance suite: rules of every policy, whatever its algorithm. The policies of this crate pass the same suite.
//!
//! A rule is a function that panics, with the reason, where a policy breaks it. It is given how the policy is built for a
//! cluster; [`check`] runs all that hold of every policy. A test of a policy of one's own:
//!
//! ```
//! use homing::cluster::{Cluster, Session};
//! use homing::policy::{Policy, conformance};
//!
//! /// The upstream with the longest name that accepts.
//! #[derive(Debug)]
//! struct LongestName;
//!
//! impl Policy for LongestName {
//!     fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
//!         let accepting = (0..cluster.len()).filter(|index| cluster.accepts(*index, session));
//!         accepting.max_by_key(|index| cluster.members()[*index].upstream().name().len())
//!     }
//! }
//!
//! // #[test]
//! fn it_keeps_the_rules_of_all_policies() {
//!     conformance::check(&|_| Box::new(LongestName));
//! }
//! # it_keeps_the_rules_of_all_policies();
//! ```
//!
//! One that forgets to ask whether an upstream accepts is caught:
//!
//! ```should_panic
//! # use homing::cluster::{Cluster, Session};
//! # use homing::policy::{Policy, conformance};
//! #[derive(Debug)]
//! struct First;
//!
//! impl Policy for First {
//!     fn place(&self, cluster: &Cluster, _: &Session<'_>) -> Option<usize> {
//!         (!cluster.is_empty()).then_some(0)
//!     }
//! }
//!
//! conformance::check(&|_| Box::new(First));
//! ```
//!
//! # Equal tokens in a test
//!
//! A token is a function of the keys, the session id, the upstream and the time, so a test that is given fixed ones can
//! compare whole runs: keys from [`KeyRing::builder`](crate::KeyRing::builder) instead of `generate`, session ids from
//! [`SeededEntropy`](crate::rng::SeededEntropy), and the time from a [`FakeClock`](crate::time::FakeClock), or as a
//! number.
//!
//! ```
//! use homing::rng::SeededEntropy;
//! use homing::time::{Clock, FakeClock};
//! use homing::{Affinity, Balancer, KeyRing, Request, Timestamp, UpstreamConfig};
//! use std::time::Duration;
//!
//! let tokens = || {
//!     let keys = KeyRing::builder("test", [1; 32]).sign_with(0, [2; 32]).build()?;
//!     let balancer = Balancer::builder()
//!         .upstream(UpstreamConfig::new("app-1", "10.0.0.1:8080"))
//!         .affinity(Affinity::builder(keys).build()?)
//!         .entropy(SeededEntropy::new(7))
//!         .build()?;
//!     let clock = FakeClock::new(Timestamp::from_secs(1_700_000_000));
//!     let mut tokens = Vec::new();
//!     for _ in 0..3 {
//!         tokens.extend(balancer.pick(&Request::new(clock.now()))?.token);
//!         clock.advance(Duration::from_secs(60));
//!     }
//!     Ok::<_, Box<dyn std::error::Error>>(tokens)
//! };
//! assert_eq!(tokens()?, tokens()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::Policy;
use crate::cluster::{Availability, Cluster, Session, UpstreamConfig, UpstreamId};
use crate::hash::mix64;
use crate::time::Timestamp;
use std::net::{IpAddr, Ipv4Addr};

/// A cluster of upstreams of these weights, without limits: `app-0` at `127.0.0.1:9000`, `app-1` at the next port, and
/// so on. For tests of a policy's own rules.
///
/// # Panics
/// If a weight is 0, or there are more than [`MAX_UPSTREAMS`](crate::cluster::MAX_UPSTREAMS).
#[must_use]
pub fn cluster(weights: &[u16]) -> Cluster {
    build_cluster(&addresses(weights.len()), weights, |_| 0, None)
}

/// A [`cluster`] of these weights and, by index, limits of requests in flight.
///
/// # Panics
/// As [`cluster`].
#[must_use]
pub fn limited_cluster(weights: &[u16], limit: impl Fn(usize) -> u32) -> Cluster {
    build_cluster(&addresses(weights.len()), weights, limit, None)
}

/// A [`cluster`] of these weights that counts live sessions, in windows of 128 seconds.
///
/// # Panics
/// As [`cluster`].
#[must_use]
pub fn counting_cluster(weights: &[u16]) -> Cluster {
    build_cluster(&addresses(weights.len()), weights, |_| 0, Some(7))
}

/// A cluster of these addresses, each with its weight.
#[cfg(test)]
pub(crate) fn addressed_cluster(addresses: &[impl AsRef<str>], weights: &[u16]) -> Cluster {
    build_cluster(addresses, weights, |_| 0, None)
}

fn addresses(count: usize) -> Vec<String> {
    (9000..).map(|port| format!("127.0.0.1:{port}")).take(count).collect()
}

fn build_cluster(
    addresses: &[impl AsRef<str>],
    weights: &[u16],
    limit: impl Fn(usize) -> u32,
    window: Option<u8>,
) -> Cluster {
    let configs: Vec<UpstreamConfig> = (0_u16..)
        .zip(addresses.iter().zip(weights))
        .map(|(i, (address, weight))| UpstreamConfig::new(format!("app-{i}"), address.as_ref()).weight(*weight))
        .enumerate()
        .map(|(i, config)| config.max_in_flight(limit(i)))
        .collect();
    let id = |name: &str| UpstreamId(name.bytes().fold(1, |hash, byte| mix64(hash ^ u64::from(byte))));
    Cluster::build(&configs, id, window, None).unwrap()
}

/// A session whose id and client address are hashes of this number.
#[must_use]
pub fn session(number: u64) -> Session<'static> {
    let address = (mix64(number) as u32).to_be_bytes();
    let now = Timestamp::from_secs(1_700_000_000);
    Session::new(mix64(number), now).client(IpAddr::V4(Ipv4Addr::from(address)))
}

/// Builds the policy under test for a cluster.
pub type Build<'b> = &'b dyn Fn(&Cluster) -> Box<dyn Policy>;

/// Runs every rule that holds of all policies; which is each of this module but [`shares_follow_weights`].
///
/// # Panics
/// If the policy breaks a rule. Takes a few seconds in an unoptimized build.
pub fn check(build: Build<'_>) {
    places_only_on_accepting(build);
    finds_the_only_one(build);
    passes_over_full_and_tried(build);
    stands_an_empty_cluster(build);
    stands_extremes(build);
    looks_without_changing(build);
}

/// Every placement is the index of an accepting upstream, with any mixture of availability and weights.
///
/// # Panics
/// If it breaks the rule.
pub fn places_only_on_accepting(build: Build<'_>) {
    for seed in 0..200 {
        let size = 1 + (mix64(seed) % 40) as usize;
        let weights: Vec<u16> = (0..size).map(|i| 1 + (mix64(seed ^ (i as u64) << 32) % 30) as u16).collect();
        let cluster = cluster(&weights);
        let policy = build(&cluster);
        for (i, member) in cluster.members().iter().enumerate() {
            let health = match mix64(seed * 1000 + i as u64) % 3 {
                0 => Availability::ACTIVE,
                1 => Availability::DRAINING,
                _ => Availability::DOWN,
            };
            member.upstream().set_availability(health);
        }
        let any = cluster.members().iter().any(|m| m.upstream().availability().accepting);
        for session_id in 0..50 {
            match policy.place(&cluster, &session(session_id)) {
                Some(index) => assert!(cluster.members()[index].upstream().availability().accepting, "seed {seed}"),
                None => assert!(!any, "seed {seed}: an upstream accepts, yet nothing was placed"),
            }
        }
    }
}

/// The only upstream that accepts is found, at any index.
///
/// # Panics
/// If it breaks the rule.
pub fn finds_the_only_one(build: Build<'_>) {
    for size in [1, 2, 3, 10, 300] {
        for place in [0, size / 2, size - 1] {
            let cluster = cluster(&vec![7; size]);
            for (i, member) in cluster.members().iter().enumerate() {
                member.upstream().set_availability(if i == place { Availability::ACTIVE } else { Availability::DOWN });
            }
            assert_eq!(build(&cluster).place(&cluster, &session(place as u64)), Some(place), "of {size}");
        }
    }
}

/// In an empty cluster nothing is placed, whether the policy is built for it or rebuilt when the last upstream goes; and
/// when the first comes, it is found.
///
/// # Panics
/// If it breaks the rule.
pub fn stands_an_empty_cluster(build: Build<'_>) {
    let (empty, one) = (cluster(&[]), cluster(&[3]));
    let rebuilt = |policy: Box<dyn Policy>, next: &Cluster| policy.rebuilt(next).unwrap_or_else(|| build(next));
    for policy in [build(&empty), rebuilt(build(&empty), &empty), rebuilt(build(&one), &empty)] {
        for session_id in 0..50 {
            let session = session(session_id);
            assert_eq!(policy.peek(&empty, &session), None, "session {session_id}");
            assert_eq!(policy.place(&empty, &session), None, "session {session_id}");
        }
        let policy = rebuilt(policy, &one);
        for session_id in 0..50 {
            assert_eq!(policy.place(&one, &session(session_id)), Some(0), "session {session_id}");
        }
    }
}

/// Upstreams at their limit, or already tried, are skipped; if none is left, there is no placement.
///
/// # Panics
/// If it breaks the rule.
pub fn passes_over_full_and_tried(build: Build<'_>) {
    let cluster = limited_cluster(&[1; 3], |_| 2);
    let policy = build(&cluster);
    let full = [cluster.members()[0].lease().unwrap(), cluster.members()[0].lease().unwrap()];
    let tried = [cluster.members()[1].upstream().id()];
    for session_id in 0..100 {
        let session = Session { tried: &tried, ..session(session_id) };
        assert_eq!(policy.place(&cluster, &session), Some(2));
    }
    let more = [cluster.members()[2].lease().unwrap(), cluster.members()[2].lease().unwrap()];
    assert_eq!(policy.place(&cluster, &Session { tried: &tried, ..session(1) }), None);
    drop((full, more));
    assert!(policy.place(&cluster, &session(1)).is_some());
}

/// Extreme weights and the largest cluster build and place.
///
/// # Panics
/// If it breaks the rule.
pub fn stands_extremes(build: Build<'_>) {
    for weights in [vec![65535, 1, 65535], vec![1; crate::cluster::MAX_UPSTREAMS], vec![65535; 3], vec![65521, 65519]] {
        let cluster = cluster(&weights);
        let policy = build(&cluster);
        for session_id in 0..100 {
            assert!(policy.place(&cluster, &session(session_id)).is_some());
        }
    }
}

/// Over many clients the shares follow the weights, to a quarter. Not for a policy that has a reason of its own to
/// prefer upstreams.
///
/// # Panics
/// If it breaks the rule.
pub fn shares_follow_weights(build: Build<'_>) {
    let weights = [1, 2, 5];
    let cluster = cluster(&weights);
    let policy = build(&cluster);
    let mut counts = [0_u32; 3];
    for session_id in 0..8000 {
        counts[policy.place(&cluster, &session(session_id)).unwrap()] += 1;
    }
    for (count, weight) in counts.iter().zip(weights) {
        let expected = u32::from(weight) * 1000;
        assert!(count.abs_diff(expected) < expected / 4, "{counts:?} for weights {weights:?}");
    }
}

/// `peek` returns where the next session is placed, and has no side effects.
///
/// # Panics
/// If it breaks the rule.
pub fn looks_without_changing(build: Build<'_>) {
    let cluster = cluster(&[3, 1, 2, 1]);
    cluster.members()[1].upstream().set_availability(Availability::DOWN);
    let policy = build(&cluster);
    for session_id in 0..50 {
        let session = session(session_id);
        let looks: Vec<_> = (0..3).map(|_| policy.peek(&cluster, &session)).collect();
        assert_eq!(looks, [policy.place(&cluster, &session); 3], "session {session_id}");
    }
}

/// Runs the suite on a policy of this crate, each rule as a test.
#[cfg(test)]
macro_rules! conforms {
    ($policy:ty) => {
        $crate::policy::conformance::conforms!(
            $policy:
            places_only_on_accepting,
            finds_the_only_one,
            passes_over_full_and_tried,
            stands_an_empty_cluster,
            stands_extremes,
            looks_without_changing,
            shares_follow_weights
        );
    };
    ($policy:ty: $($check:ident),*) => {
        mod conformance {
            use super::*;
            $(#[test]
            fn $check() {
                $crate::policy::conformance::$check(&|cluster| Box::new(<$policy>::new(cluster)));
            })*
        }
    };
}
#[cfg(test)]
pub(crate) use conforms;

#[cfg(test)]
mod tests {
    use super::*;

    /// The suite's own control: a policy that breaks a rule must be caught.
    #[derive(Debug)]
    struct First;

    impl Policy for First {
        fn place(&self, _: &Cluster, _: &Session<'_>) -> Option<usize> {
            Some(0)
        }
    }

    #[test]
    fn a_policy_that_ignores_verdicts_is_caught() {
        let caught = |rule: fn(Build<'_>)| std::panic::catch_unwind(|| rule(&|_| Box::new(First))).is_err();
        assert!(caught(places_only_on_accepting));
        assert!(caught(finds_the_only_one));
        assert!(caught(passes_over_full_and_tried));
        assert!(caught(stands_an_empty_cluster));
        assert!(caught(shares_follow_weights));
        assert!(caught(check));
    }

    /// Another control: a policy whose `peek` takes a turn.
    #[derive(Debug, Default)]
    struct Turning(std::sync::atomic::AtomicUsize);

    impl Policy for Turning {
        fn place(&self, cluster: &Cluster, _: &Session<'_>) -> Option<usize> {
            Some(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % cluster.len())
        }
    }

    #[test]
    fn a_policy_that_changes_when_looked_at_is_caught() {
        let looks = || looks_without_changing(&|_| Box::<Turning>::default());
        assert!(std::panic::catch_unwind(looks).is_err());
    }
}
