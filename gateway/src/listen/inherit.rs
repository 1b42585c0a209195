//! Sockets inherited from the parent process, by systemd's protocol (`sd_listen_fds(3)`): `LISTEN_FDS` of them, from
//! file descriptor 3 on. Both socket units and the predecessor in an upgrade pass them that way.

#[cfg(unix)]
use super::predecessor::{PREDECESSOR_VARIABLE, Predecessor};
use std::net::{SocketAddr, TcpListener};

/// Inherited sockets that are not in use yet. Dropping it closes them.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(SocketAddr, TcpListener)>,
    #[cfg(unix)]
    predecessor: Option<Predecessor>,
}

impl Inherited {
    /// The sockets that the environment names. Call it once, before there are other threads: it removes them from the
    /// environment.
    ///
    /// # Errors
    /// Where a descriptor is no listening TCP socket.
    #[cfg(unix)]
    #[expect(clippy::disallowed_methods, reason = "the protocol is the environment's")]
    pub fn from_env() -> std::io::Result<Self> {
        use std::io::{Error, ErrorKind};
        let mut passed = listenfd::ListenFd::from_env();
        let mut inherited = Self::default();
        let mut count = passed.len();
        if std::env::var_os(PREDECESSOR_VARIABLE).is_some() {
            count = count.checked_sub(1).ok_or_else(|| Error::from(ErrorKind::NotConnected))?;
            inherited.predecessor = passed.take_unix_datagram(count)?.map(Predecessor::new);
        }
        for index in 0..count {
            let Some(socket) = passed.take_tcp_listener(index)? else { continue };
            inherited.sockets.push((socket.local_addr()?, socket));
        }
        Ok(inherited)
    }

    /// None: the protocol is Unix's.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(unix))]
    pub fn from_env() -> std::io::Result<Self> {
        Ok(Self::default())
    }

    /// All that listen on `address`; where its port is 0, those on the first port of that host.
    pub(crate) fn take(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let is_it = |bound: &SocketAddr| match address.port() {
            0 => bound.ip() == address.ip(),
            _ => *bound == address,
        };
        let Some(address) = self.sockets.iter().map(|(bound, _)| *bound).find(is_it) else { return Vec::new() };
        self.sockets.extract_if(.., |(bound, _)| *bound == address).map(|(_, socket)| socket).collect()
    }

    /// Logs the sockets that no configured address uses.
    pub(crate) fn warn_of_unused(&self) {
        for (address, _) in &self.sockets {
            tracing::warn!(%address, "an inherited socket is on no address that is configured: it is closed here");
        }
    }

    /// The gateway that passed them, where they come from an upgrade.
    #[cfg(unix)]
    pub(crate) fn predecessor(&mut self) -> Option<Predecessor> {
        self.predecessor.take()
    }
}
