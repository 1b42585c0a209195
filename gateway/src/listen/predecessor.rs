//! The process before this one in an upgrade, as the successor sees it.

use std::os::unix::net::UnixDatagram;

/// The environment variable by which a successor knows that the last of its inherited sockets leads to its predecessor.
pub(crate) const PREDECESSOR_VARIABLE: &str = "HOMING_PREDECESSOR";

/// The datagram that a successor sends when it accepts.
pub(crate) const READY: &[u8] = b"READY=1";

/// A gateway that waits for this process to accept.
#[derive(Debug)]
pub(crate) struct Predecessor(UnixDatagram);

impl Predecessor {
    pub(super) fn new(socket: UnixDatagram) -> Self {
        Self(socket)
    }

    pub(crate) fn notify_ready(self) {
        if let Err(error) = self.0.send(READY) {
            tracing::warn!(%error, "cannot notify the process before this one: it may stop this one as unresponsive");
        }
    }
}
