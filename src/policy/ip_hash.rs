//! nginx's `ip_hash`, bit for bit.
//!
//! `ngx_http_upstream_ip_hash_module.c` hashes the first three bytes of an IPv4 address (so a /24 stays together)
//! or all sixteen of an IPv6 one: h = (h·113 + byte) mod 6271 from 89 on, then h modulo the sum of weights is a
//! point on the weights laid end to end. A peer that cannot be used: the hash goes on for another round, up to
//! twenty, then round robin decides. `tests/vectors/nginx.json` holds placements recorded from nginx itself.

use super::{Policy, RoundRobin};
use crate::cluster::{Cluster, Session};
use std::net::IpAddr;

const ROUNDS: u32 = 20;

/// By the client's network, as nginx's `ip_hash`. A hash and a binary search a pick.
///
/// Behind one NAT everybody lands on one upstream: it is here for a drop-in change from nginx. A client without an
/// address counts as 0.0.0.0, as in nginx.
#[derive(Debug)]
pub struct IpHash {
    /// The sum of weights up to and with each upstream, of those that are down too.
    upto: Box<[u64]>,
    fallback: RoundRobin,
}

impl IpHash {
    /// For `cluster`; costs what [`RoundRobin::new`] does.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let upto = cluster.members().iter().scan(0, |sum, member| {
            *sum += u64::from(member.weight());
            Some(*sum)
        });
        Self { upto: upto.collect(), fallback: RoundRobin::new(cluster) }
    }
}

impl Policy for IpHash {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let mut buffer = [0; 16];
        let network: &[u8] = match session.client {
            Some(IpAddr::V6(address)) => {
                buffer = address.octets();
                &buffer
            }
            Some(IpAddr::V4(address)) => {
                buffer[..4].copy_from_slice(&address.octets());
                &buffer[..3]
            }
            None => &buffer[..3],
        };
        let rounds = if cluster.len() < 2 { 0 } else { ROUNDS };
        let mut hash = 89_u32;
        for _ in 0..rounds {
            hash = network.iter().fold(hash, |hash, byte| (hash * 113 + u32::from(*byte)) % 6271);
            let point = u64::from(hash) % cluster.total_weight();
            let index = self.upto.partition_point(|upto| *upto <= point);
            if cluster.accepts(index, session) {
                return Some(index);
            }
        }
        self.fallback.place(cluster, session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::conformance::{cluster, conforms, session};

    conforms!(IpHash);

    #[test]
    fn places_as_the_recorded_nginx_did() {
        let text = include_str!("../../tests/vectors/nginx.json");
        let recorded: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut picks = 0;
        for vector in recorded["vectors"].as_array().unwrap().iter().filter(|v| v["algorithm"] == "ip_hash") {
            let weights: Vec<u16> =
                vector["weights"].as_array().unwrap().iter().map(|w| w.as_u64().unwrap() as u16).collect();
            let cluster = cluster(&weights);
            for down in vector["down"].as_array().unwrap() {
                let member = &cluster.members()[down.as_u64().unwrap() as usize];
                member.upstream().set_health(crate::Health::DOWN);
            }
            let policy = IpHash::new(&cluster);
            for pick in vector["picks"].as_array().unwrap() {
                let client = pick[0].as_str().unwrap().parse().unwrap();
                let session = Session { client: Some(client), ..session(0) };
                let expected = pick[1].as_u64().unwrap() as usize;
                assert_eq!(policy.place(&cluster, &session), Some(expected), "{} {client}", vector["case"]);
                picks += 1;
            }
        }
        assert_eq!(picks, 600, "the vectors are all there");
    }
}
