//! The upstreams that legacy cookies mean: a hash table, computed once a cluster.

use super::{AcceptedCookie, LegacyCookie, LegacyFormat, MAX_ACCEPTED};
use crate::affinity::MAX_TOKENS;
use crate::cluster::{Cluster, Member};
use std::collections::HashMap;

/// How many values of one request are looked up: [`MAX_TOKENS`] of each cookie.
pub(crate) const MAX_VALUES: usize = MAX_ACCEPTED * MAX_TOKENS;

/// The upstreams of one cluster by the values that the other proxy would have set for them.
pub(crate) struct LegacyCookieTable {
    columns: Box<[Column]>,
}

struct Column {
    format: LegacyFormat,
    /// The member's index; `None` where several have this value, which then means none of them.
    members: HashMap<Box<[u8]>, Option<u16>>,
    /// The longest of the values, in bytes: a longer one need not be hashed.
    longest: usize,
}

impl LegacyCookieTable {
    /// `None` where nothing is accepted.
    pub(crate) fn new(accepted: &[AcceptedCookie], cluster: &Cluster) -> Option<Self> {
        let columns: Box<[_]> = accepted.iter().map(|accept| Column::new(accept, cluster)).collect();
        (!columns.is_empty()).then_some(Self { columns })
    }

    /// The first of the `legacy_cookies` that means a member: its index, and that member. At most three probes of a
    /// hash table for each of the first [`MAX_VALUES`] values, and none for a part that is longer than any known value.
    pub(crate) fn find<'c>(
        &self,
        cluster: &'c Cluster,
        legacy_cookies: &[LegacyCookie<'_>],
    ) -> Option<(usize, &'c Member)> {
        legacy_cookies.iter().take(MAX_VALUES).enumerate().find_map(|(place, cookie)| {
            let index = self.columns.get(cookie.accept)?.find(cookie.value)?;
            Some((place, cluster.members().get(usize::from(index))?))
        })
    }
}

impl Column {
    fn new(accept: &AcceptedCookie, cluster: &Cluster) -> Self {
        let mut members = HashMap::with_capacity(cluster.len());
        for (index, member) in (0_u16..).zip(cluster.members()) {
            if let Some(value) = accept.format().value_of(member.upstream()) {
                let value = value.into_bytes().into_boxed_slice();
                members.entry(value).and_modify(|meant| *meant = None).or_insert(Some(index));
            }
        }
        let longest = members.keys().map(|value| value.len()).max().unwrap_or(0);
        Self { format: accept.format().clone(), members, longest }
    }

    fn find(&self, value: &[u8]) -> Option<u16> {
        let readings = self.format.readings(value);
        // The first part that is a known value decides, even if it is ambiguous.
        let known = readings.into_iter().filter(|reading| reading.len() <= self.longest);
        known.filter_map(|reading| self.members.get(reading)).next().copied().flatten()
    }
}
