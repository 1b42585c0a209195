//! Sockets that whoever started this process has opened for it, by systemd's protocol: `LISTEN_FDS` of them from file
//! descriptor 3 on. So come those of a socket unit, and those of the process that this one follows.

use std::net::{SocketAddr, TcpListener};

/// Those that nobody has taken yet. Dropping it closes them.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(SocketAddr, TcpListener)>,
    #[cfg(unix)]
    predecessor: Option<crate::process::upgrade::Predecessor>,
}

impl Inherited {
    /// Those that the environment tells of. Call it once, before there are other threads: it takes them out of the
    /// environment.
    ///
    /// # Errors
    /// Where what was passed is no listening socket of TCP.
    #[cfg(unix)]
    #[expect(clippy::disallowed_methods, reason = "the protocol is the environment's")]
    pub fn from_env() -> std::io::Result<Self> {
        use std::io::{Error, ErrorKind};
        let mut passed = listenfd::ListenFd::from_env();
        let mut inherited = Self::default();
        let mut count = passed.len();
        if std::env::var_os(crate::process::upgrade::MARK).is_some() {
            count = count.checked_sub(1).ok_or_else(|| Error::from(ErrorKind::NotConnected))?;
            inherited.predecessor = passed.take_unix_datagram(count)?.map(crate::process::upgrade::Predecessor::new);
        }
        for index in 0..count {
            let Some(socket) = passed.take_tcp_listener(index)? else { continue };
            inherited.sockets.push((socket.local_addr()?, socket));
        }
        Ok(inherited)
    }

    /// None: there is no such protocol here.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(unix))]
    pub fn from_env() -> std::io::Result<Self> {
        Ok(Self::default())
    }

    /// All that listen on `address`; where its port is 0, on whatever port of that host comes first.
    pub(crate) fn take(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let is_it = |bound: &SocketAddr| match address.port() {
            0 => bound.ip() == address.ip(),
            _ => *bound == address,
        };
        let Some(address) = self.sockets.iter().map(|(bound, _)| *bound).find(is_it) else { return Vec::new() };
        self.sockets.extract_if(.., |(bound, _)| *bound == address).map(|(_, socket)| socket).collect()
    }

    /// Says which sockets nobody took.
    pub(crate) fn tell_of_the_rest(&self) {
        for (address, _) in &self.sockets {
            tracing::warn!(%address, "an inherited socket is on no address that is configured: it is closed here");
        }
    }

    /// Who passed them, where that is a gateway that waits to be followed.
    #[cfg(unix)]
    pub(crate) fn predecessor(&mut self) -> Option<crate::process::upgrade::Predecessor> {
        self.predecessor.take()
    }
}
