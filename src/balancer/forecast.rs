//! What a planned change would do to sessions and capacity.

use super::balancer::Balancer;
use super::snapshot::Snapshot;
use crate::cluster::{ApplyError, Cluster, Effect, Generation, Member, Plan, Session};
use crate::hash::mix64;
use crate::policy::Policy;
use crate::time::Timestamp;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// How many keys are placed before and after: 16,384 draws give a share to within one percent (two standard
/// deviations).
const KEYS: u32 = 1 << 14;

/// The consequences of a plan. [`Display`](fmt::Display) makes a line of each.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Forecast {
    /// The generation that the plan was made against.
    pub base: Generation,
    /// Which upstreams are added, removed and changed.
    pub effects: Vec<Effect>,
    /// The share of keys (0 to 1) that the policy would place elsewhere than now; `None` for a policy that does not
    /// place by key. Estimated from a fixed sample, to about one percent.
    pub moved_keys: Option<f64>,
    /// [Live sessions](crate::Upstream::live_sessions) of upstreams that are removed or become another process, as far
    /// as this proxy has seen them.
    pub broken_sessions: u64,
    /// The capacity now.
    pub before: Capacity,
    /// The capacity after the change.
    pub after: Capacity,
}

/// The capacity of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Capacity {
    /// All upstreams.
    pub upstreams: usize,
    /// Those that accept new sessions.
    pub accepting: usize,
    /// The sum of their weights.
    pub weight: u64,
    /// The most requests that they take at once, together; `None` where one of them has no limit.
    pub max_in_flight: Option<u64>,
}

impl Balancer {
    /// Works out the consequences of `plan`, were it applied now. Changes nothing.
    ///
    /// For operators: where the policy places by key, it builds the next policy and places some thousands of keys by
    /// both, which costs about what [`apply`](Self::apply) does and some milliseconds.
    ///
    /// # Errors
    /// [`ApplyError::Stale`] where the generation moved on since the plan was made.
    pub fn forecast(&self, plan: &Plan, now: Timestamp) -> Result<Forecast, ApplyError> {
        let snapshot = self.snapshot.load_full();
        snapshot.is_base_of(plan)?;
        let next = plan.cluster();
        let is_kept = |member: &Member| {
            let same = next.find(member.upstream().id());
            same.is_some_and(|next| Arc::ptr_eq(next.upstream(), member.upstream()))
        };
        let broken = snapshot.cluster.members().iter().filter(|member| !is_kept(member));
        let moved_keys = snapshot.policy.is_keyed().then(|| {
            let policy = snapshot.next_policy(next);
            moved(&snapshot, &*policy, next, now)
        });
        Ok(Forecast {
            base: plan.base(),
            effects: plan.effects().to_vec(),
            moved_keys,
            broken_sessions: broken.map(|member| u64::from(member.upstream().live_sessions(now))).sum(),
            before: Capacity::of(&snapshot.cluster),
            after: Capacity::of(next),
        })
    }
}

/// The share of keys that the two policies place on different upstreams.
fn moved(snapshot: &Snapshot, policy: &dyn Policy, next: &Cluster, now: Timestamp) -> f64 {
    let moved = (0..KEYS).filter(|number| {
        let session_id = mix64(u64::from(*number));
        let key = session_id.to_be_bytes();
        let client = IpAddr::V4(Ipv4Addr::from(session_id as u32));
        let session = Session::new(session_id, now).client(client).key(&key);
        let id = |cluster: &Cluster, index: Option<usize>| Some(cluster.members().get(index?)?.upstream().id());
        id(&snapshot.cluster, snapshot.policy.peek(&snapshot.cluster, &session))
            != id(next, policy.peek(next, &session))
    });
    moved.count() as f64 / f64::from(KEYS)
}

impl Capacity {
    fn of(cluster: &Cluster) -> Self {
        let accepting = || cluster.members().iter().filter(|member| member.upstream().availability().accepting);
        let limit = |member: &Member| match member.max_in_flight() {
            0 => None,
            limit => Some(u64::from(limit)),
        };
        Self {
            upstreams: cluster.len(),
            accepting: accepting().count(),
            weight: accepting().map(|member| u64::from(member.weight())).sum(),
            max_in_flight: accepting().map(limit).sum(),
        }
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "after generation {}:", self.base.as_u64())?;
        self.effects.iter().try_for_each(|effect| writeln!(f, "- {effect}"))?;
        if let Some(share) = self.moved_keys {
            writeln!(f, "- {:.1} % of keys move", share * 100.0)?;
        }
        writeln!(f, "- about {} live sessions break", self.broken_sessions)?;
        write!(f, "- capacity: {}, now {}", self.after, self.before)
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} upstreams accept (weight {}, ", self.accepting, self.upstreams, self.weight)?;
        match self.max_in_flight {
            Some(limit) => write!(f, "{limit} requests at once)"),
            None => f.write_str("no limit)"),
        }
    }
}
