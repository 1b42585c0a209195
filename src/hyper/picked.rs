//! Where a request went: extensions of requests and responses.

use crate::cluster::{Decision, Lease, SessionGuard, Upstream};
use std::sync::Arc;

/// The upstream that was picked for a request, and why. [`Sticky`](super::Sticky) puts it into the extensions of the
/// request, for a service that serves upstreams in the same process, and of the response, for access logs and metrics
/// around it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Picked {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Why it was picked.
    pub decision: Decision,
    /// The session id: see [`Pick::session_id`](crate::Pick::session_id).
    pub session_id: u64,
}

/// Keeps a request counted in flight on its upstream, and its session [live](Upstream::guard_session), after a `101
/// Switching Protocols`: the response's body is empty, and the connection lives on.
///
/// [`Sticky`](super::Sticky) puts it into the extensions of such a response. The code that runs the tunnel takes it
/// from there, beside hyper's `OnUpgrade`, and keeps it until the tunnel ends:
///
/// ```
/// use homing::hyper::{LeaseBody, UpgradeLease};
/// use http::Response;
/// use hyper::body::Incoming;
/// use hyper::upgrade::{self, OnUpgrade};
/// use hyper_util::rt::TokioIo;
/// use tokio::io::copy_bidirectional;
///
/// /// `client` is `hyper::upgrade::on` of the request, before it was passed to the service.
/// fn tunnel(client: OnUpgrade, response: &mut Response<LeaseBody<Incoming>>) {
///     let lease = response.extensions_mut().remove::<UpgradeLease>();
///     let upstream = upgrade::on(response);
///     tokio::spawn(async move {
///         if let (Ok(client), Ok(upstream)) = (client.await, upstream.await) {
///             let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(upstream)).await;
///         }
///         drop(lease);
///     });
/// }
/// ```
///
/// If nothing takes it, it ends with the response, as soon as its head is sent. Clones share one lease, which ends with
/// the last of them.
#[derive(Clone, Debug)]
pub struct UpgradeLease {
    held: Arc<(Lease, SessionGuard)>,
}

impl UpgradeLease {
    pub(super) fn new(lease: Lease, session_id: u64) -> Self {
        let guard = lease.upstream().guard_session(session_id);
        Self { held: Arc::new((lease, guard)) }
    }

    /// The upstream at the other end of the tunnel.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        self.held.0.upstream()
    }
}
