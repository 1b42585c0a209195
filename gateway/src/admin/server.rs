//! The listener of the administration, on a thread of its own: it responds while the workers are busy, and while the
//! gateway stops.

use super::Admin;
use crate::listen::ServeError;
use crate::listen::inherit::Inherited;
use crate::listen::socket::ACCEPT_PAUSE;
use crate::thread::OwnedThread;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections served at once; more wait in the backlog of the kernel.
const MAX_CONNECTIONS: usize = 256;

/// A bound socket, not yet accepting.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    /// A duplicate, to be handed over to another process.
    spare: TcpListener,
    address: SocketAddr,
}

impl AdminServer {
    /// Listens on `address`; port 0 takes a free port.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        Self::adopt(address, &mut Inherited::default())
    }

    /// As [`bind`](Self::bind), but an inherited socket on `address` is used where there is one.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn adopt(address: SocketAddr, inherited: &mut Inherited) -> Result<Self, ServeError> {
        let adopted = inherited.take(address).into_iter().next();
        let bind = || adopted.map_or_else(|| TcpListener::bind(address), Ok).and_then(Self::on);
        bind().map_err(|source| ServeError::Listen { address, source })
    }

    fn on(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, spare: listener.try_clone()?, listener })
    }

    /// The address it listens on, with the port that was taken for 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to accept.
    ///
    /// # Errors
    /// [`ServeError::Worker`] where the thread or its runtime could not be started.
    pub fn start(self, admin: Admin) -> Result<RunningAdmin, ServeError> {
        let (stop, stopped) = watch::channel(());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Worker)?;
        let sampled = admin.clone();
        runtime.spawn(async move { sampled.keep_history().await });
        let run = move || runtime.block_on(accept(self.listener, admin, stopped));
        let thread = OwnedThread::start("admin", stop, run).map_err(ServeError::Worker)?;
        Ok(RunningAdmin { _thread: thread, spare: self.spare })
    }
}

/// A running administration. Dropping it stops it within about a second.
#[derive(Debug)]
pub struct RunningAdmin {
    _thread: OwnedThread<watch::Sender<()>>,
    spare: TcpListener,
}

impl RunningAdmin {
    /// A duplicate of its socket, for another process to accept from.
    ///
    /// # Errors
    /// Where the process is out of file descriptors.
    pub fn socket(&self) -> io::Result<TcpListener> {
        self.spare.try_clone()
    }

    /// Stops it and keeps its socket open: new connections wait in the backlog meanwhile.
    ///
    /// # Errors
    /// [`ServeError::Worker`] where the process is out of file descriptors.
    pub fn pause(self) -> Result<AdminServer, ServeError> {
        let next = self.socket().and_then(AdminServer::on);
        drop(self);
        next.map_err(ServeError::Worker)
    }
}

async fn accept(listener: TcpListener, admin: Admin, stopped: watch::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot use the administration's listener"),
    };
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut stop = stopped.clone();
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((permit, listener.accept().await?))
        };
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = accepted => match accepted {
                Ok((permit, (stream, peer))) => {
                    let (admin, mut stopped) = (admin.clone(), stopped.clone());
                    connections.spawn(async move {
                        admin.serve(stream, peer, async { drop(stopped.changed().await) }).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    while connections.join_next().await.is_some() {}
}
