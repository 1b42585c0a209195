//! Rules of single policies, by name.

use super::Subject;
use super::model::Model;
use std::net::IpAddr;

/// The rules that apply to a policy.
#[derive(Clone, Copy)]
pub struct Rules {
    /// The placement depends on key and client address only, as long as the first choice accepts. So an upstream that
    /// is down moves its own keys and no others.
    pub keyed: bool,
    /// Removing an upstream moves its own keys and no others.
    pub removal_moves_its_own: bool,
    /// The placement has the fewest requests in flight by weight.
    pub least_loaded: bool,
    /// nginx's smooth weighted round robin.
    pub turns: bool,
    /// nginx's hash of the client's address.
    pub ip_hash: bool,
}

impl Rules {
    /// The rules of `subject`; `is_keyed` is what the policy reports of itself.
    pub fn of(subject: &Subject, is_keyed: bool) -> Self {
        let has = |name, value| subject.params.contains(&(name, value));
        // With a bound on load, placements depend on load too.
        let bounded = subject.params.iter().any(|(name, _)| *name == "load_factor");
        let strict = subject.name == "rendezvous" && has("mode", "strict");
        Self {
            keyed: is_keyed && !bounded,
            removal_moves_its_own: (subject.name == "ketama" || strict) && !bounded,
            least_loaded: subject.name == "least_conn",
            turns: subject.name == "round_robin",
            ip_hash: subject.name == "ip_hash" && subject.params.is_empty(),
        }
    }
}

/// Whether no accepting upstream has fewer requests in flight by weight than the one at `index`.
pub fn is_least_loaded(model: &Model, index: usize, tried: &[usize]) -> bool {
    let load = |index: usize| (u64::from(model.cell(index).in_flight), u64::from(model.upstreams[index].weight));
    let (ours, weight) = load(index);
    (0..model.upstreams.len()).filter(|other| model.accepts(*other, tried)).all(|other| {
        let (theirs, other_weight) = load(other);
        ours * other_weight <= theirs * weight
    })
}

/// nginx's peer for a client, as in `ngx_http_upstream_get_ip_hash_peer`. `None` where round robin decides.
pub fn ip_hash(model: &Model, client: Option<IpAddr>, tried: &[usize]) -> Option<usize> {
    let key = match client {
        Some(IpAddr::V4(address)) => address.octets()[..3].to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
        None => vec![0; 3],
    };
    let total: u32 = model.upstreams.iter().map(|upstream| u32::from(upstream.weight)).sum();
    let mut hash = 89_u32;
    for _ in 0..if model.upstreams.len() < 2 { 0 } else { 20 } {
        for byte in &key {
            hash = (hash * 113 + u32::from(*byte)) % 6271;
        }
        let mut left = hash % total;
        let mut index = 0;
        while left >= u32::from(model.upstreams[index].weight) {
            left -= u32::from(model.upstreams[index].weight);
            index += 1;
        }
        if model.accepts(index, tried) {
            return Some(index);
        }
    }
    None
}

/// nginx's smooth weighted round robin, as in its source: each turn adds every weight to its score, and subtracts the
/// sum of weights from the highest, which wins.
pub struct Turns {
    weights: Vec<i64>,
    scores: Vec<i64>,
}

impl Turns {
    /// The turns for the model's weights; `None` if there are none, or if their period is longer than the library keeps
    /// exactly.
    pub fn new(model: &Model) -> Option<Self> {
        let weights: Vec<i64> = model.upstreams.iter().map(|upstream| i64::from(upstream.weight)).collect();
        let scores = vec![0; weights.len()];
        (!weights.is_empty() && weights.iter().sum::<i64>() <= 1 << 16).then_some(Self { weights, scores })
    }

    pub fn next(&mut self) -> usize {
        let mut best = 0;
        for index in 0..self.scores.len() {
            self.scores[index] += self.weights[index];
            if self.scores[index] > self.scores[best] {
                best = index;
            }
        }
        self.scores[best] -= self.weights.iter().sum::<i64>();
        best
    }
}
