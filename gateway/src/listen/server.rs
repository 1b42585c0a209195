//! All listeners and workers of a gateway: started, changed while they run, handed over, and stopped.

use super::ServeError;
use super::inherit::Inherited;
use super::socket::BoundAddress;
use super::tls::Acceptor;
use super::worker::{OpenedListener, Shutdown, Worker};
use arc_swap::ArcSwapOption;
use homing::proxy::Proxy;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// The grace of connections whose listener was closed by a reload: they finish, however long that takes.
const UNLIMITED: Duration = Duration::from_secs(24 * 365 * 60 * 60);

/// Bound sockets, not yet accepting.
#[derive(Debug)]
pub struct Server {
    bound: Vec<BoundAddress>,
    addresses: Vec<SocketAddr>,
    workers: usize,
    tls: Option<Acceptor>,
}

impl Server {
    /// Listens on `addresses` for `workers` workers (0: one a core), over TLS where an acceptor is given. Port 0
    /// takes a free port, the same one for all workers.
    ///
    /// # Errors
    /// [`ServeError::Listen`] for the first address that cannot be listened on.
    pub fn bind(addresses: &[SocketAddr], workers: usize, tls: Option<Acceptor>) -> Result<Self, ServeError> {
        Self::adopt(addresses, workers, tls, &mut Inherited::default())
    }

    /// As [`bind`](Self::bind), but addresses on which sockets were inherited use those sockets, all of them.
    ///
    /// # Errors
    /// [`ServeError::Listen`] for the first address that cannot be listened on.
    pub fn adopt(
        addresses: &[SocketAddr],
        workers: usize,
        tls: Option<Acceptor>,
        inherited: &mut Inherited,
    ) -> Result<Self, ServeError> {
        let workers = match workers {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            given => given,
        };
        let bind = |address: &SocketAddr| BoundAddress::new(*address, workers, inherited.take(*address));
        let bound = addresses.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses = bound.iter().map(|bound| bound.address).collect();
        Ok(Self { bound, addresses, workers, tls })
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
    pub fn start(self, proxy: &Proxy) -> Result<RunningServer, ServeError> {
        let (shutdown, requested) = watch::channel(None);
        let tls = Arc::new(ArcSwapOption::from_pointee(self.tls));
        let mut workers = Vec::with_capacity(self.workers);
        for number in 0..self.workers {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(ServeError::Worker)?;
            let worker = Worker { proxy: proxy.worker(), tls: Arc::clone(&tls), shutdown: requested.clone() };
            let (listeners, received) = mpsc::unbounded_channel();
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            let thread = thread.spawn(move || runtime.block_on(worker.run(received))).map_err(ServeError::Worker)?;
            workers.push((listeners, thread));
        }
        let mut running = RunningServer { listeners: Vec::new(), closed: Vec::new(), tls, shutdown, workers };
        for bound in self.bound {
            running.open(bound);
        }
        Ok(running)
    }
}

/// The next set of listeners of a running server. Its new sockets are bound and not yet accepting.
#[derive(Debug)]
pub struct PreparedListeners {
    /// One for each address, in order.
    listeners: Vec<PreparedListener>,
}

#[derive(Debug)]
enum PreparedListener {
    /// The listener of this number stays.
    Kept(usize),
    Added(BoundAddress),
}

/// One address that is listened on.
#[derive(Debug)]
struct Listener {
    configured: SocketAddr,
    address: SocketAddr,
    /// Duplicates of the workers' sockets, to be handed over to another process.
    spares: Vec<TcpListener>,
    shutdown: watch::Sender<Option<Shutdown>>,
}

/// A server that accepts. Dropping it stops it at once.
#[derive(Debug)]
pub struct RunningServer {
    listeners: Vec<Listener>,
    /// Of closed listeners whose connections may still run.
    closed: Vec<watch::Sender<Option<Shutdown>>>,
    tls: Arc<ArcSwapOption<Acceptor>>,
    shutdown: watch::Sender<Option<Shutdown>>,
    workers: Vec<(mpsc::UnboundedSender<OpenedListener>, JoinHandle<()>)>,
}

impl RunningServer {
    /// The addresses it listens on.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.address).collect()
    }

    /// Binds those of `addresses` that it does not listen on yet. An address of port 0 stays on the port it has.
    ///
    /// # Errors
    /// [`ServeError::Listen`] for the first that cannot be listened on. Nothing has changed then.
    pub fn prepare(&self, addresses: &[SocketAddr]) -> Result<PreparedListeners, ServeError> {
        let mut free: Vec<_> = self.listeners.iter().enumerate().collect();
        let mut prepare = |wanted: &SocketAddr| {
            let is_it = |listener: &Listener| listener.configured == *wanted || listener.address == *wanted;
            match free.iter().position(|(_, listener)| is_it(listener)) {
                Some(index) => Ok(PreparedListener::Kept(free.remove(index).0)),
                None => BoundAddress::new(*wanted, self.workers.len(), Vec::new()).map(PreparedListener::Added),
            }
        };
        Ok(PreparedListeners { listeners: addresses.iter().map(&mut prepare).collect::<Result<_, _>>()? })
    }

    /// Listens on the prepared addresses and no others, with this certificate for connections to come. Requests and
    /// tunnels on connections of closed listeners finish, however long that takes; idle connections are closed after
    /// `linger`, unless they bring one more request. Returns the addresses that were added and those that were removed.
    pub fn apply(
        &mut self,
        prepared: PreparedListeners,
        tls: Option<Acceptor>,
        linger: Duration,
    ) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        self.tls.store(tls.map(Arc::new));
        let mut old: Vec<_> = std::mem::take(&mut self.listeners).into_iter().map(Some).collect();
        let mut added = Vec::new();
        for listener in prepared.listeners {
            match listener {
                PreparedListener::Kept(number) => self.listeners.extend(old[number].take()),
                PreparedListener::Added(bound) => {
                    added.push(bound.address);
                    self.open(bound);
                }
            }
        }
        let shutdown = Shutdown { linger, deadline: Instant::now() + UNLIMITED };
        let removed = old.into_iter().flatten().map(|listener| {
            listener.shutdown.send_replace(Some(shutdown));
            self.closed.push(listener.shutdown);
            listener.address
        });
        let removed = removed.collect();
        self.closed.retain(|shutdown| shutdown.receiver_count() > 0);
        (added, removed)
    }

    /// A duplicate of every listening socket, in order, for another process to accept from.
    ///
    /// # Errors
    /// Where the process is out of file descriptors.
    pub fn sockets(&self) -> io::Result<Vec<TcpListener>> {
        self.listeners.iter().flat_map(|listener| &listener.spares).map(TcpListener::try_clone).collect()
    }

    /// Stops accepting. Requests and tunnels finish for up to `grace`; idle connections are closed after `linger`,
    /// unless they bring one more request. May be called again, and then the new times count.
    pub fn retire(&mut self, linger: Duration, grace: Duration) {
        let shutdown = Some(Shutdown { linger, deadline: Instant::now() + grace });
        self.closed.extend(self.listeners.drain(..).map(|listener| listener.shutdown));
        for listener in &self.closed {
            listener.send_replace(shutdown);
        }
        self.shutdown.send_replace(shutdown);
    }

    /// Stops accepting, lets requests and tunnels finish for up to `grace`, and returns when the workers have ended.
    /// Blocks the calling thread; call it outside of a runtime, or where blocking is allowed.
    pub fn stop(mut self, grace: Duration) {
        self.retire(Duration::ZERO, grace);
        for (listeners, worker) in self.workers {
            drop(listeners);
            if worker.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
    }

    /// Whether the workers of a server that was [retired](Self::retire) have ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.workers.iter().all(|(_, worker)| worker.is_finished())
    }

    fn open(&mut self, bound: BoundAddress) {
        let (shutdown, requested) = watch::channel(None);
        let spare =
            |socket: &TcpListener| socket.try_clone().inspect_err(|error| warn_of_spare(bound.address, error)).ok();
        let spares = bound.sockets.iter().flatten().filter_map(spare).collect();
        for ((listeners, _), sockets) in self.workers.iter().zip(bound.sockets) {
            for socket in sockets {
                // It fails where the worker has panicked, which is logged where the worker is joined.
                drop(listeners.send(OpenedListener { socket, shutdown: requested.clone() }));
            }
        }
        self.listeners.push(Listener { configured: bound.configured, address: bound.address, spares, shutdown });
    }
}

fn warn_of_spare(address: SocketAddr, error: &io::Error) {
    tracing::warn!(%address, %error, "this socket cannot be handed over: an upgrade would close it");
}
