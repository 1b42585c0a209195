//! A connection that changes its protocol: from the upstream's 101 to the end of the tunnel.

use super::worker::Worker;
use crate::cluster::Lease;
use crate::proxy::access_log::AccessLog;
use crate::proxy::tunnel::{TunnelProtocol, tunnel};
use crate::proxy::upstream::connection::UpstreamConnection;
use crate::proxy::upstream::statistics::OpenTunnel;
use bytes::Bytes;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// An upstream that has sent 101, until the client has been told. Holds the lease for as long as the tunnel lives.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) connection: Box<UpstreamConnection>,
    pub(crate) lease: Lease,
    /// The session's drain deadline depends on it.
    pub(crate) session_id: u64,
    pub(crate) protocol: TunnelProtocol,
    pub(crate) worker: Arc<Worker>,
    /// For how long the tunnel may make no progress once one side has ended, or does not accept data.
    pub(crate) idle: Duration,
    pub(crate) _log: AccessLog,
}

impl Upgrade {
    /// Runs the tunnel to its end. `received` is what the client has sent behind its request.
    ///
    /// Meanwhile the session counts as live and is not rebalanced: a page that lives by a WebSocket makes no
    /// requests, so no token tells of it.
    pub(crate) async fn run<C: AsyncRead + AsyncWrite + Unpin>(self: Box<Self>, mut client: C, received: Bytes) {
        let Self { connection, lease, session_id, protocol, worker, idle, _log } = *self;
        let _open = connection.statistics().map(|statistics| OpenTunnel::new(Arc::clone(statistics)));
        let _session = lease.upstream().guard_session(session_id);
        let (mut upstream, early) = connection.into_stream();
        let deadline = || lease.upstream().drain_deadline(session_id);
        let drained = pin!(worker.drain_notification.wait(deadline, &*worker.clock));
        // Either side may end a tunnel as it likes, so its errors blame nothing.
        if let Err(error) = tunnel(&mut client, &mut upstream, [received, early], protocol, idle, drained).await {
            tracing::debug!(upstream = lease.upstream().name(), %error, "tunnel broke off");
        }
    }
}
