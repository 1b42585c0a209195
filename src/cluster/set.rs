//! The immutable set of upstreams at one moment.

use super::id::IdMap;
use super::load_index::LoadIndex;
use super::waiters::Waiters;
use super::{ClusterError, Lease, MAX_UPSTREAMS, Session, Upstream, UpstreamConfig, UpstreamId};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

/// One upstream in a cluster, with its configuration in this cluster.
#[derive(Clone, Debug)]
pub struct Member {
    upstream: Arc<Upstream>,
    weight: u16,
    max_in_flight: u32,
}

impl Member {
    /// The upstream's shared cell.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Its weight, 1 to 65535.
    #[must_use]
    pub fn weight(&self) -> u16 {
        self.weight
    }

    /// The most requests and tunnels it may have in flight; 0 is no limit.
    #[must_use]
    pub fn max_in_flight(&self) -> u32 {
        self.max_in_flight
    }

    /// Whether it is below its limit. A hint: only [`lease`](Self::lease) is exact among racing threads.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.max_in_flight == 0 || self.upstream.in_flight() < self.max_in_flight
    }

    /// Whether it takes `session`, apart from its limit: it accepts, was not tried before, and slow start lets it.
    pub(crate) fn takes(&self, session: &Session<'_>) -> bool {
        self.upstream.availability().accepting && self.is_open_to(session)
    }

    /// Whether it was not tried before, and slow start lets it take `session`.
    pub(crate) fn is_open_to(&self, session: &Session<'_>) -> bool {
        let id = self.upstream.id();
        !session.tried.contains(&id) && self.upstream.lifecycle().is_open_to(session.slow_start, id)
    }

    /// Counts a request for which the host itself chose this upstream; `None` if the limit is reached. One atomic
    /// addition, or a compare-exchange loop under a limit.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        Lease::acquire(&self.upstream, self.max_in_flight)
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> UpstreamConfig {
        UpstreamConfig::new(self.upstream.name(), self.upstream.address())
            .weight(self.weight)
            .max_in_flight(self.max_in_flight)
    }
}

/// The immutable set of upstreams at one moment, in the order they were configured.
///
/// None to [`MAX_UPSTREAMS`]. Policies address its members by index. A clone shares the upstreams.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(super) members: Arc<[Member]>,
    by_id: IdMap<u16>,
    total_weight: u64,
    /// Shared with its predecessors and successors, also across an empty cluster.
    load_index: Arc<LoadIndex>,
    /// Likewise.
    waiters: Arc<Waiters>,
}

impl Cluster {
    /// Builds the cluster of `configs`, reusing the cells that `old` has for the same name and address. With affinity,
    /// new cells count live sessions in windows of 2^`window` seconds.
    pub(crate) fn build(
        configs: &[UpstreamConfig],
        id_of: impl Fn(&str) -> UpstreamId,
        window: Option<u8>,
        old: Option<&Cluster>,
    ) -> Result<Self, ClusterError> {
        if configs.len() > MAX_UPSTREAMS {
            return Err(ClusterError::TooMany { count: configs.len() });
        }
        let (load_index, waiters) = match old {
            Some(old) => (Arc::clone(&old.load_index), Arc::clone(&old.waiters)),
            None => (Arc::new(LoadIndex::new()), Arc::default()),
        };
        let mut members = Vec::with_capacity(configs.len());
        let mut by_id = IdMap::with_capacity_and_hasher(configs.len(), BuildHasherDefault::default());
        for (index, config) in (0_u16..).zip(configs) {
            config.check()?;
            let id = id_of(&config.name);
            if let Some(other) = by_id.insert(id, index) {
                let (first, second) = (configs[usize::from(other)].name.clone(), config.name.clone());
                return Err(match first == second {
                    true => ClusterError::Duplicate { name: first },
                    false => ClusterError::Collision { first, second },
                });
            }
            let known = old.and_then(|old| old.find(id)).filter(|m| m.upstream.address() == config.address);
            let upstream = match known {
                Some(member) => Arc::clone(&member.upstream),
                None => {
                    let (load_index, waiters) = (Arc::clone(&load_index), Arc::clone(&waiters));
                    Arc::new(Upstream::new(&config.name, &config.address, id, window, load_index, waiters))
                }
            };
            members.push(Member { upstream, weight: config.weight, max_in_flight: config.max_in_flight });
        }
        let total_weight = members.iter().map(|m| u64::from(m.weight)).sum();
        Ok(Self { members: members.into(), by_id, total_weight, load_index, waiters })
    }

    /// The load index that this cluster shares with its predecessors and successors.
    pub(super) fn load_index(&self) -> &Arc<LoadIndex> {
        &self.load_index
    }

    /// The waiters for a place, which this cluster shares with its predecessors and successors.
    pub(crate) fn waiters(&self) -> &Arc<Waiters> {
        &self.waiters
    }

    /// Its members, in order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The number of upstreams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no upstream, as before the first was discovered or added. Then no pick finds one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The sum of all weights, including those of upstreams that are down.
    #[must_use]
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// The member of this id. One lookup in a hash table.
    #[must_use]
    pub fn find(&self, id: UpstreamId) -> Option<&Member> {
        self.index_of(id).map(|index| &self.members[index])
    }

    /// The index of the member of this id. One lookup in a hash table.
    #[must_use]
    pub fn index_of(&self, id: UpstreamId) -> Option<usize> {
        self.by_id.get(&id).copied().map(usize::from)
    }

    /// The member of this name. A linear search.
    #[must_use]
    pub fn find_name(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|m| m.upstream.name() == name)
    }

    /// Whether `session` may be placed on the member at `index`: it accepts, has room, and was not tried before.
    /// Every policy checks this for the index that it is about to return. False for an index beyond the end.
    #[must_use]
    pub fn accepts(&self, index: usize, session: &Session<'_>) -> bool {
        self.members.get(index).is_some_and(|member| member.takes(session) && member.has_room())
    }
}
