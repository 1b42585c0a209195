//! What the adapter asks besides picks.

use super::{Balancer, Request, home};
use crate::affinity::OnFull;
use crate::cluster::UpstreamId;

impl Balancer {
    /// The upstream where the session of a request lives, and where alone it can be served while that serves; none where
    /// sessions [move](OnFull::Move) for want of room. Costs what verifying its token costs. Of one that is yet to be adopted, any
    /// nonce tells the upstream.
    pub(crate) fn home_of(&self, request: &Request<'_>) -> Option<UpstreamId> {
        let snapshot = self.snapshot.load();
        let affinity = snapshot.rules.affinity.as_ref().filter(|affinity| affinity.on_full() == OnFull::Wait)?;
        let token = affinity.open(request.tokens, request.now).ok();
        let claims = token.or_else(|| snapshot.adopted(affinity, request, 0))?;
        home(&snapshot.cluster, affinity, &claims, request).ok().map(|(member, _)| member.upstream().id())
    }

    /// How many requests were leased so far on the upstreams there are. Looks at every one.
    pub(crate) fn requests(&self) -> u64 {
        let snapshot = self.snapshot.load();
        snapshot.cluster.members().iter().map(|member| member.upstream().total()).sum()
    }
}
