//! The listening sockets of one address, one or more for each worker.

use super::ServeError;
use socket2::SockRef;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 4096;

/// How long accepting pauses when the process is out of file descriptors or memory.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Whether each worker gets a socket of its own on one port, among which the kernel spreads connections.
const SHARES_PORT: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// One address with its sockets, not yet accepting.
#[derive(Debug)]
pub(super) struct BoundAddress {
    /// As configured; its port may be 0.
    pub(super) configured: SocketAddr,
    /// With the port that was taken for 0.
    pub(super) address: SocketAddr,
    /// By worker; at least one each.
    pub(super) sockets: Vec<Vec<TcpListener>>,
}

impl BoundAddress {
    /// Uses the `inherited` sockets, and opens more where those are fewer than the workers.
    pub(super) fn new(configured: SocketAddr, workers: usize, inherited: Vec<TcpListener>) -> Result<Self, ServeError> {
        let open = || -> io::Result<_> {
            let mut sockets = inherited;
            if sockets.is_empty() {
                sockets.push(listen(configured, SHARES_PORT)?);
            }
            let address = sockets[0].local_addr()?;
            let spreads = spreads(&sockets[0])?;
            while sockets.len() < workers {
                sockets.push(if spreads { listen(address, true)? } else { sockets[0].try_clone()? });
            }
            sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
            Ok((address, sockets))
        };
        let (address, sockets) = open().map_err(|source| ServeError::Listen { address: configured, source })?;
        let mut by_worker: Vec<_> = std::iter::repeat_with(Vec::new).take(workers).collect();
        // Sockets beyond one a worker are accepted from as well: their queues hold connections that the kernel
        // completed.
        sockets.into_iter().enumerate().for_each(|(number, socket)| by_worker[number % workers].push(socket));
        Ok(Self { configured, address, sockets: by_worker })
    }
}

/// Whether further sockets may listen beside this one. An inherited socket may have been opened without `SO_REUSEPORT`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn spreads(socket: &TcpListener) -> io::Result<bool> {
    SockRef::from(socket).reuse_port()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn spreads(_: &TcpListener) -> io::Result<bool> {
    Ok(false)
}

fn listen(address: SocketAddr, share_port: bool) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Windows this option would let another program take the port over.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_reuse_port(share_port)?;
    let _ = share_port;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
