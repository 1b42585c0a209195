//! A loopback port that stays with its instance, also while the instance is dead.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A reserved address of 127.0.0.1.
///
/// On Linux a second socket, bound and never listening, holds the port: without it any outgoing connection of the
/// machine may be given the number of a dead instance. Elsewhere two sockets can't share an address like that, and
/// the port is only remembered.
pub(super) struct Port {
    address: SocketAddr,
    #[cfg(target_os = "linux")]
    _held: TcpSocket,
}

impl Port {
    pub(super) fn reserve() -> io::Result<Port> {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Port {
            address: socket.local_addr()?,
            #[cfg(target_os = "linux")]
            _held: socket,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        bind(self.address)?.listen(BACKLOG)
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // On Windows the option lets another program take the port over.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
