//! nginx's `ip_hash`, bit for bit.
//!
//! `ngx_http_upstream_ip_hash_module.c` hashes the first three bytes of an IPv4 address (so a /24 stays together)
//! or all sixteen of an IPv6 one: h = (h·113 + byte) mod 6271 from 89 on, then h modulo the sum of weights is a
//! point on the weights laid end to end (see `rounds.rs`). `tests/vectors/nginx.json` holds placements recorded from
//! nginx itself, and `gateway/tests/programs/oracles` asks a running one.

use super::Policy;
use super::params::{ParamError, Params, PolicyConfig};
use super::rounds::Rounds;
use crate::cluster::{Cluster, Session};
use std::net::IpAddr;

/// The prefix lengths that are hashed; nginx's by default.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpHashConfig {
    prefix_v4: u8,
    prefix_v6: u8,
}

impl PolicyConfig for IpHashConfig {
    const PARAMS: &'static [&'static str] = &["prefix_v4", "prefix_v6"];

    fn read(params: &mut Params) -> Result<Self, ParamError> {
        Ok(Self {
            prefix_v4: params.take("prefix_v4", 24, "a prefix length, 1 to 32", |n| (1..=32).contains(n))?,
            prefix_v6: params.take("prefix_v6", 128, "a prefix length, 1 to 128", |n| (1..=128).contains(n))?,
        })
    }

    fn build(&self, cluster: &Cluster) -> Box<dyn Policy> {
        Box::new(IpHash::new(cluster).prefixes(self.prefix_v4, self.prefix_v6))
    }
}

/// By the client's network, as nginx's `ip_hash`. A hash and a binary search a pick.
///
/// All clients behind one NAT are placed on one upstream: this policy is for drop-in replacement of nginx. A client
/// without an address counts as 0.0.0.0, as in nginx.
#[derive(Debug)]
pub struct IpHash {
    prefix_v4: u8,
    prefix_v6: u8,
    rounds: Rounds,
}

impl IpHash {
    /// For `cluster`; costs what [`RoundRobin::new`](super::RoundRobin::new) does.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self { prefix_v4: 24, prefix_v6: 128, rounds: Rounds::new(cluster) }
    }

    /// Sets other prefix lengths than nginx's 24 (1 to 32) and 128 (1 to 128); longer ones are clamped. An IPv6 host
    /// commonly has a /64 to itself and may change its address within it at any time.
    #[must_use]
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefix_v4 = v4.min(32);
        self.prefix_v6 = v6.min(128);
        self
    }
}

/// The bytes of `address` that hold its first `prefix` bits, with the bits after those cleared.
fn network(address: &mut [u8], prefix: u8) -> &[u8] {
    let bytes = usize::from(prefix.div_ceil(8));
    let network = &mut address[..bytes];
    if let (Some(last), 1..) = (network.last_mut(), prefix % 8) {
        *last &= 0xff << (8 - prefix % 8);
    }
    network
}

impl IpHash {
    /// The upstream that the client's network hashes to. `None` where round robin decides.
    fn hashed(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let (mut v4, mut v6);
        let network = match session.client {
            Some(IpAddr::V6(address)) => {
                v6 = address.octets();
                network(&mut v6, self.prefix_v6)
            }
            client => {
                v4 = match client {
                    Some(IpAddr::V4(address)) => address.octets(),
                    _ => [0; 4],
                };
                network(&mut v4, self.prefix_v4)
            }
        };
        let mut hash = 89_u32;
        self.rounds.find(cluster, session, |_| {
            hash = network.iter().fold(hash, |hash, byte| (hash * 113 + u32::from(*byte)) % 6271);
            hash
        })
    }
}

impl Policy for IpHash {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.hashed(cluster, session).or_else(|| self.rounds.turns.place(cluster, session))
    }

    fn peek(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.hashed(cluster, session).or_else(|| self.rounds.turns.peek(cluster, session))
    }

    fn is_keyed(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::conformance::{cluster, conforms, session};
    use crate::policy::vectors::{assert_places_as_recorded, nginx};

    conforms!(IpHash);

    #[test]
    fn places_as_the_recorded_nginx_did() {
        assert_places_as_recorded(&nginx("ip_hash"), &|cluster| Box::new(IpHash::new(cluster)), 5, 600);
    }

    #[test]
    fn a_prefix_keeps_its_network_together_and_tells_it_from_the_next() {
        let cluster = cluster(&[1; 97]);
        let at = |policy: &IpHash, client: &str| {
            policy.place(&cluster, &Session { client: Some(client.parse().unwrap()), ..session(0) })
        };
        let policy = IpHash::new(&cluster).prefixes(20, 60);
        assert_eq!(at(&policy, "10.1.16.1"), at(&policy, "10.1.31.254"));
        assert_ne!(at(&policy, "10.1.16.1"), at(&policy, "10.1.32.1"));
        assert_eq!(at(&policy, "2001:db8:0:10::1"), at(&policy, "2001:db8:0:1f:ffff::2"));
        assert_ne!(at(&policy, "2001:db8:0:10::1"), at(&policy, "2001:db8:0:20::1"));
        let exact = IpHash::new(&cluster).prefixes(32, 128);
        assert_ne!(at(&exact, "10.1.16.1"), at(&exact, "10.1.16.2"));
    }
}
