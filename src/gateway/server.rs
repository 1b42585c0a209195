//! Workers: one thread and one single-threaded runtime a core, each with listeners and connections of its own.
//!
//! With SO_REUSEPORT the kernel spreads new connections over the workers' sockets, and no request ever crosses a
//! thread. Elsewhere the option is
//! missing or spreads nothing, and the workers accept from one shared socket.

use super::tls::Acceptor;
use crate::hyper::{Protocol, Proxy};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::pin::pin;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 4096;

/// After how long a silent client is asked by the kernel whether it is there, and how often.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long accepting pauses when the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {source}; is another program using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A worker could not be started.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

/// Bound sockets, not yet accepting.
#[derive(Debug)]
pub struct Server {
    /// By worker.
    listeners: Vec<Vec<TcpListener>>,
    addresses: Vec<SocketAddr>,
    tls: Option<Acceptor>,
}

impl Server {
    /// Listens on `addresses` for `workers` workers (0: one a core), over TLS where an acceptor is given. Port 0
    /// takes a free port, the same one for all workers.
    ///
    /// # Errors
    /// [`ServeError::Listen`] for the first address that cannot be listened on.
    pub fn bind(addresses: &[SocketAddr], workers: usize, tls: Option<Acceptor>) -> Result<Self, ServeError> {
        let workers = match workers {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            given => given,
        };
        let mut listeners: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        let mut bound = Vec::with_capacity(addresses.len());
        for &address in addresses {
            let fail = |source| ServeError::Listen { address, source };
            let sockets = listen(address, workers).map_err(fail)?;
            bound.push(sockets[0].local_addr().map_err(fail)?);
            for (worker, socket) in listeners.iter_mut().zip(sockets) {
                worker.push(socket);
            }
        }
        Ok(Self { listeners, addresses: bound, tls })
    }

    /// The addresses it listens on, with the ports that were taken for 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Starts the workers, which accept from here on.
    ///
    /// # Errors
    /// [`ServeError::Worker`] where a thread or its runtime could not be started.
    pub fn start(self, proxy: &Proxy) -> Result<Running, ServeError> {
        let (stop, stopped) = watch::channel(None);
        let mut workers = Vec::with_capacity(self.listeners.len());
        for (number, listeners) in self.listeners.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(ServeError::Worker)?;
            let worker = Worker { proxy: proxy.worker(), tls: self.tls.clone(), stopped: stopped.clone() };
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            let thread = thread.spawn(move || runtime.block_on(worker.run(listeners)));
            workers.push(thread.map_err(ServeError::Worker)?);
        }
        Ok(Running { stop, workers })
    }
}

/// A server that accepts. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    /// The moment until which what runs may finish.
    stop: watch::Sender<Option<Instant>>,
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Stops accepting, lets requests and tunnels finish for up to `grace`, and returns when the workers have ended.
    /// Blocks the calling thread; call it outside of a runtime, or where blocking is allowed.
    pub fn stop(self, grace: Duration) {
        self.stop.send_replace(Some(Instant::now() + grace));
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }
}

#[derive(Clone)]
struct Worker {
    proxy: Proxy,
    tls: Option<Acceptor>,
    stopped: watch::Receiver<Option<Instant>>,
}

impl Worker {
    /// Runs until all it accepted is done, or time is up.
    async fn run(self, listeners: Vec<TcpListener>) {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => drop(accepting.spawn(self.clone().accept(listener))),
                Err(error) => tracing::error!(%error, "cannot use a listener"),
            }
        }
        while accepting.join_next().await.is_some() {}
        let deadline = (*self.stopped.borrow()).unwrap_or_else(Instant::now);
        while self.in_flight() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Requests and tunnels of all workers: a tunnel outlives the connection it began on.
    fn in_flight(&self) -> u64 {
        let cluster = self.proxy.balancer().cluster();
        cluster.members().iter().map(|member| u64::from(member.upstream().in_flight())).sum()
    }

    async fn accept(self, listener: tokio::net::TcpListener) {
        let mut connections = JoinSet::new();
        let mut stopped = pin!(stopping(self.stopped.clone()));
        loop {
            tokio::select! {
                accepted = listener.accept() => self.accepted(accepted, &mut connections).await,
                Some(_) = connections.join_next() => {}
                () = &mut stopped => break,
            }
        }
        // With a socket of our own, nobody else will take what the kernel has completed for it already. Asked directly:
        // the runtime may not have heard of it yet.
        if let Ok(listener) = listener.into_std() {
            while let Ok((stream, peer)) = listener.accept() {
                let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                self.accepted(stream.map(|stream| (stream, peer)), &mut connections).await;
            }
        }
        let deadline = (*self.stopped.borrow()).unwrap_or_else(Instant::now);
        while let Ok(Some(_)) = timeout_at(deadline, connections.join_next()).await {}
    }

    async fn accepted(&self, accepted: io::Result<(TcpStream, SocketAddr)>, connections: &mut JoinSet<()>) {
        match accepted {
            // Apart, so that a connection without TLS has no room for one with it.
            Ok((stream, peer)) if self.tls.is_none() => drop(connections.spawn(self.clone().serve(stream, peer))),
            Ok((stream, peer)) => drop(connections.spawn(self.clone().serve_tls(stream, peer))),
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        if prepare(&stream).is_ok() {
            self.proxy.serve(stream, peer, Protocol::Clear, stopping(self.stopped)).await;
        }
    }

    async fn serve_tls(self, stream: TcpStream, peer: SocketAddr) {
        let Some(tls) = self.tls.filter(|_| prepare(&stream).is_ok()) else { return };
        match tls.accept(stream).await {
            Ok((stream, protocol)) => self.proxy.serve(stream, peer, protocol, stopping(self.stopped)).await,
            Err(error) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        }
    }
}

/// A proxy writes whole messages, so waiting for more of them only adds delay; and a tunnel may be silent for hours,
/// so only the kernel can find out that its client is gone. A socket that cannot be told is gone already.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Completes when the server is told to stop, or is gone.
async fn stopping(mut stopped: watch::Receiver<Option<Instant>>) {
    drop(stopped.wait_for(Option::is_some).await);
}

/// A connection that was gone before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A socket for each worker, all on one port.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn listen(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let first = listen_one(address, true)?;
    let address = first.local_addr()?;
    let others = (1..workers).map(|_| listen_one(address, true));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// One socket that the workers share.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn listen(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let first = listen_one(address, false)?;
    let others = (1..workers).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>()?;
    Ok(std::iter::once(first).chain(others).collect())
}

fn listen_one(address: SocketAddr, share_port: bool) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Windows this would let another program take the port over.
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
