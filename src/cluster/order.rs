//! The rendezvous order of a point: the order in which the upstreams of a cluster are its failover targets.
//!
//! Highest random weight (Thaler and Ravishankar, IEEE/ACM ToN 6(1), 1998) with weights as exponential variates:
//! each upstream's score is -ln(u)/weight with u drawn from the point and the upstream's id, and the lowest score
//! wins. It depends on the point and the set of upstreams alone, so every proxy of a pool finds the same order
//! without communication, and the points of a removed upstream spread over all others.
//!
//! The logarithm is [`exponential`], made of IEEE operations only: `f64::ln` differs between platforms, and proxies on
//! different platforms must agree to the bit.

use super::Cluster;
use crate::hash::{exponential, mix64};

impl Cluster {
    /// The index of the first upstream in the order of `point` for which `takes` returns true. One hash and one
    /// logarithm per upstream.
    pub(crate) fn first_in_order(&self, point: u64, takes: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best: Option<(usize, (u64, u64))> = None;
        for (index, member) in self.members().iter().enumerate() {
            let id = member.upstream().id().as_u64();
            let score = exponential(mix64(point ^ mix64(id))) / f64::from(member.weight());
            // The bits of non-negative floats order as the floats do; the id breaks ties.
            let score = (score.to_bits(), id);
            if best.is_none_or(|(_, least)| score < least) && takes(index) {
                best = Some((index, score));
            }
        }
        best.map(|(index, _)| index)
    }
}
