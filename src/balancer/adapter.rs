//! What the adapter asks besides picks.

use super::{Balancer, Pick, PickError, Request, View, pinned_upstream};
use crate::affinity::{AcceptedCookie, OnFull};
use crate::cluster::UpstreamId;

impl View<'_> {
    /// The cookies of another proxy that are accepted: by their places here the requests to this view know them.
    pub(crate) fn accepted(&self) -> &[AcceptedCookie] {
        self.snapshot.settings.affinity.as_ref().map_or(&[], |affinity| affinity.accepted())
    }

    /// As [`Balancer::pick`].
    pub(crate) fn pick(&self, request: &Request<'_>) -> Result<Pick, PickError> {
        self.balancer.pick_from(&self.snapshot, request)
    }

    /// The upstream where the session of a request lives, and where alone it can be served while that serves; none where
    /// sessions [move](OnFull::Move) for want of room. Costs what verifying its token costs. Of one that is yet to be adopted, any
    /// session id tells the upstream.
    pub(crate) fn pinned_upstream(&self, request: &Request<'_>) -> Option<UpstreamId> {
        let snapshot = &self.snapshot;
        let affinity = snapshot.settings.affinity.as_ref().filter(|affinity| affinity.on_full() == OnFull::Wait)?;
        let token = affinity.open(request.tokens, request.now).ok();
        let claims = token.or_else(|| snapshot.legacy_claims(affinity, request, 0))?;
        pinned_upstream(&snapshot.cluster, affinity, &claims, request).ok().map(|(member, _)| member.upstream().id())
    }
}

impl Balancer {
    /// How many requests were leased so far on the upstreams there are. Looks at every one.
    pub(crate) fn requests(&self) -> u64 {
        let snapshot = self.snapshot.load();
        snapshot.cluster.members().iter().map(|member| member.upstream().total()).sum()
    }
}
