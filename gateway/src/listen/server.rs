//! Workers: one thread and one single-threaded runtime a core, each with listeners and connections of its own.
//!
//! With SO_REUSEPORT the kernel spreads new connections over the workers' sockets, and no request ever crosses a
//! thread. Elsewhere the option is missing or spreads nothing, and the workers accept from one shared socket.

use super::inherit::Inherited;
use super::tls::Acceptor;
use arc_swap::ArcSwapOption;
use homing::proxy::{Protocol, Proxy};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 4096;

/// After how long a silent client is asked by the kernel whether it is there, and how often.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long accepting pauses when the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// As long as it takes.
const FOREVER: Duration = Duration::from_hours(24 * 365);

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

/// The sockets of one address.
#[derive(Debug)]
struct BoundAddress {
    /// As it is configured: port 0 is whatever port was free.
    wanted: SocketAddr,
    address: SocketAddr,
    /// By worker; at least one each.
    sockets: Vec<Vec<TcpListener>>,
}

impl BoundAddress {
    /// On sockets that were inherited, and others where those are too few.
    fn new(wanted: SocketAddr, workers: usize, inherited: Vec<TcpListener>) -> Result<Self, ServeError> {
        let open = || -> io::Result<_> {
            let mut sockets = inherited;
            if sockets.is_empty() {
                sockets.push(listen(wanted, SHARES_PORT)?);
            }
            let address = sockets[0].local_addr()?;
            let spreads = spreads(&sockets[0])?;
            while sockets.len() < workers {
                sockets.push(if spreads { listen(address, true)? } else { sockets[0].try_clone()? });
            }
            sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
            Ok((address, sockets))
        };
        let (address, sockets) = open().map_err(|source| ServeError::Listen { address: wanted, source })?;
        let mut by_worker: Vec<_> = std::iter::repeat_with(Vec::new).take(workers).collect();
        // Those beyond one a worker are accepted from as well: what lies in their queues was completed by the kernel.
        sockets.into_iter().enumerate().for_each(|(number, socket)| by_worker[number % workers].push(socket));
        Ok(Self { wanted, address, sockets: by_worker })
    }
}

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

    /// Likewise, but for addresses on which sockets were inherited: these are used, all of them.
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
        let (stop, stopped) = watch::channel(None);
        let tls = Arc::new(ArcSwapOption::from_pointee(self.tls));
        let mut workers = Vec::with_capacity(self.workers);
        for number in 0..self.workers {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(ServeError::Worker)?;
            let worker = Worker { proxy: proxy.worker(), tls: Arc::clone(&tls), stopped: stopped.clone() };
            let (listeners, received) = mpsc::unbounded_channel();
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            let thread = thread.spawn(move || runtime.block_on(worker.run(received))).map_err(ServeError::Worker)?;
            workers.push((listeners, thread));
        }
        let mut running = RunningServer { listeners: Vec::new(), ending: Vec::new(), tls, stop, workers };
        for bound in self.bound {
            running.open(bound);
        }
        Ok(running)
    }
}

/// Sockets for addresses that a running server is to listen on besides those it does; not yet accepting.
#[derive(Debug)]
pub struct PreparedListeners {
    /// What becomes of each address, in order.
    places: Vec<Placement>,
}

#[derive(Debug)]
enum Placement {
    /// It stays on the listener of this number.
    Kept(usize),
    Added(BoundAddress),
}

/// One address that is listened on.
#[derive(Debug)]
struct Listener {
    wanted: SocketAddr,
    address: SocketAddr,
    /// The workers' own once more, to be handed over.
    spares: Vec<TcpListener>,
    end: watch::Sender<Option<Shutdown>>,
}

/// How connections are to end.
#[derive(Clone, Copy, Debug)]
struct Shutdown {
    /// For how long idle ones are listened to for one request more.
    linger: Duration,
    /// Until when what runs may finish.
    deadline: Instant,
}

/// A server that accepts. Dropping it stops it at once.
#[derive(Debug)]
pub struct RunningServer {
    listeners: Vec<Listener>,
    /// Of listeners that are no more, and may have connections that are.
    ending: Vec<watch::Sender<Option<Shutdown>>>,
    tls: Arc<ArcSwapOption<Acceptor>>,
    stop: watch::Sender<Option<Shutdown>>,
    workers: Vec<(mpsc::UnboundedSender<OpenedListener>, JoinHandle<()>)>,
}

/// A socket for a worker.
struct OpenedListener {
    socket: TcpListener,
    end: watch::Receiver<Option<Shutdown>>,
}

impl RunningServer {
    /// The addresses it listens on.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.address).collect()
    }

    /// Binds what of `addresses` it does not listen on. An address of port 0 stays on the port it has.
    ///
    /// # Errors
    /// [`ServeError::Listen`] for the first that cannot be listened on. Nothing has changed then.
    pub fn prepare(&self, addresses: &[SocketAddr]) -> Result<PreparedListeners, ServeError> {
        let mut free: Vec<_> = self.listeners.iter().enumerate().collect();
        let mut place = |wanted: &SocketAddr| {
            let is_it = |listener: &Listener| listener.wanted == *wanted || listener.address == *wanted;
            match free.iter().position(|(_, listener)| is_it(listener)) {
                Some(index) => Ok(Placement::Kept(free.remove(index).0)),
                None => BoundAddress::new(*wanted, self.workers.len(), Vec::new()).map(Placement::Added),
            }
        };
        Ok(PreparedListeners { places: addresses.iter().map(&mut place).collect::<Result<_, _>>()? })
    }

    /// Listens where it was prepared to, and nowhere else, with this certificate for connections to come. Requests on
    /// connections of listeners that are closed finish, however long they take, and so do their tunnels; idle connections
    /// are closed after `linger`, unless they bring one request more. Returns which addresses came and which went.
    pub fn apply(
        &mut self,
        prepared: PreparedListeners,
        tls: Option<Acceptor>,
        linger: Duration,
    ) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        self.tls.store(tls.map(Arc::new));
        let mut old: Vec<_> = std::mem::take(&mut self.listeners).into_iter().map(Some).collect();
        let mut added = Vec::new();
        for place in prepared.places {
            match place {
                Placement::Kept(number) => self.listeners.extend(old[number].take()),
                Placement::Added(bound) => {
                    added.push(bound.address);
                    self.open(bound);
                }
            }
        }
        let end = Shutdown { linger, deadline: Instant::now() + FOREVER };
        let removed = old.into_iter().flatten().map(|listener| {
            listener.end.send_replace(Some(end));
            self.ending.push(listener.end);
            listener.address
        });
        let removed = removed.collect();
        self.ending.retain(|end| end.receiver_count() > 0);
        (added, removed)
    }

    /// Every socket once more, in order, for another process to accept from.
    ///
    /// # Errors
    /// Where the process is out of file descriptors.
    pub fn sockets(&self) -> io::Result<Vec<TcpListener>> {
        self.listeners.iter().flat_map(|listener| &listener.spares).map(TcpListener::try_clone).collect()
    }

    /// Stops accepting. Requests and tunnels finish for up to `grace`; idle connections are closed after `linger`, unless
    /// they bring one request more. Told again, the new times count.
    pub fn retire(&mut self, linger: Duration, grace: Duration) {
        let end = Some(Shutdown { linger, deadline: Instant::now() + grace });
        self.ending.extend(self.listeners.drain(..).map(|listener| listener.end));
        for listener in &self.ending {
            listener.send_replace(end);
        }
        self.stop.send_replace(end);
    }

    /// Stops accepting, lets requests and tunnels finish for up to `grace`, and returns when the workers have ended.
    /// Blocks the calling thread; call it outside of a runtime, or where blocking is allowed.
    pub fn stop(mut self, grace: Duration) {
        self.retire(Duration::ZERO, grace);
        for (listeners, worker) in self.workers {
            drop(listeners);
            if worker.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }

    /// Whether the workers of a server that was [retired](Self::retire) have ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.workers.iter().all(|(_, worker)| worker.is_finished())
    }

    fn open(&mut self, bound: BoundAddress) {
        let (end, told) = watch::channel(None);
        let spare =
            |socket: &TcpListener| socket.try_clone().inspect_err(|error| warn_of_spare(bound.address, error)).ok();
        let spares = bound.sockets.iter().flatten().filter_map(spare).collect();
        for ((listeners, _), sockets) in self.workers.iter().zip(bound.sockets) {
            for socket in sockets {
                // A worker that is gone has panicked, which is told where it is joined.
                drop(listeners.send(OpenedListener { socket, end: told.clone() }));
            }
        }
        self.listeners.push(Listener { wanted: bound.wanted, address: bound.address, spares, end });
    }
}

fn warn_of_spare(address: SocketAddr, error: &io::Error) {
    tracing::warn!(%address, %error, "this socket cannot be handed over: an upgrade would close it");
}

#[derive(Clone)]
struct Worker {
    proxy: Proxy,
    tls: Arc<ArcSwapOption<Acceptor>>,
    stopped: watch::Receiver<Option<Shutdown>>,
}

impl Worker {
    /// Runs until all it accepted is done, or time is up.
    async fn run(mut self, mut listeners: mpsc::UnboundedReceiver<OpenedListener>) {
        let mut accepting = JoinSet::new();
        loop {
            tokio::select! {
                opened = listeners.recv() => match opened {
                    Some(OpenedListener { socket, end }) => match tokio::net::TcpListener::from_std(socket) {
                        Ok(listener) => drop(accepting.spawn(self.clone().accept(listener, end))),
                        Err(error) => tracing::error!(%error, "cannot use a listener"),
                    },
                    None => break,
                },
                Some(_) = accepting.join_next() => {}
                _ = told(&mut self.stopped) => break,
            }
        }
        // Sockets that were sent before the end have connections in their queues.
        while let Ok(OpenedListener { socket, end }) = listeners.try_recv() {
            if let Ok(listener) = tokio::net::TcpListener::from_std(socket) {
                accepting.spawn(self.clone().accept(listener, end));
            }
        }
        while accepting.join_next().await.is_some() {}
        while self.in_flight() > 0 && self.stopped.borrow().is_some_and(|end| Instant::now() < end.deadline) {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Requests and tunnels of all workers: a tunnel outlives the connection it began on.
    fn in_flight(&self) -> u64 {
        let cluster = self.proxy.balancer().cluster();
        cluster.members().iter().map(|member| u64::from(member.upstream().in_flight())).sum()
    }

    async fn accept(self, listener: tokio::net::TcpListener, mut end: watch::Receiver<Option<Shutdown>>) {
        let mut connections = JoinSet::new();
        {
            let mut ending = pin!(ending(end.clone()));
            loop {
                tokio::select! {
                    accepted = listener.accept() => self.accepted(accepted, &end, &mut connections).await,
                    Some(_) = connections.join_next() => {}
                    _ = &mut ending => break,
                }
            }
        }
        // With a socket of our own, nobody else will take what the kernel has completed for it already. Asked directly:
        // the runtime may not have heard of it yet.
        if let Ok(listener) = listener.into_std() {
            while let Ok((stream, peer)) = listener.accept() {
                let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                self.accepted(stream.map(|stream| (stream, peer)), &end, &mut connections).await;
            }
        }
        loop {
            // None where the server is gone.
            let Some(Shutdown { deadline, .. }) = *end.borrow_and_update() else { break };
            tokio::select! {
                joined = connections.join_next() => if joined.is_none() { break },
                () = sleep_until(deadline) => break,
                changed = end.changed() => if changed.is_err() { break },
            }
        }
    }

    async fn accepted(
        &self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        end: &watch::Receiver<Option<Shutdown>>,
        connections: &mut JoinSet<()>,
    ) {
        match accepted {
            Ok((stream, peer)) => {
                let (proxy, end) = (self.proxy.clone(), ending(end.clone()));
                // Apart, so that a connection without TLS has no room for one with it.
                match self.tls.load_full() {
                    None => drop(connections.spawn(serve(proxy, stream, peer, end))),
                    Some(tls) => drop(connections.spawn(serve_tls(proxy, tls, stream, peer, end))),
                }
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(proxy: Proxy, stream: TcpStream, peer: SocketAddr, end: impl Future<Output = Duration>) {
    if prepare(&stream).is_ok() {
        proxy.serve_until(stream, peer, Protocol::Clear, end).await;
    }
}

async fn serve_tls(
    proxy: Proxy,
    tls: Arc<Acceptor>,
    stream: TcpStream,
    peer: SocketAddr,
    end: impl Future<Output = Duration>,
) {
    if prepare(&stream).is_err() {
        return;
    }
    match tls.accept(stream).await {
        Ok((stream, protocol)) => {
            // It may be renewed while this connection lives.
            drop(tls);
            proxy.serve_until(stream, peer, protocol, end).await;
        }
        Err(error) => tracing::debug!(%peer, %error, "TLS handshake failed"),
    }
}

/// A proxy writes whole messages, so waiting for more of them only adds delay; and a tunnel may be silent for hours,
/// so only the kernel can find out that its client is gone. A socket that cannot be told is gone already.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Completes when connections are told to end, or the server is gone; with how long idle ones are still listened to.
async fn ending(mut end: watch::Receiver<Option<Shutdown>>) -> Duration {
    told(&mut end).await.map_or(Duration::ZERO, |end| end.linger)
}

async fn told(end: &mut watch::Receiver<Option<Shutdown>>) -> Option<Shutdown> {
    end.wait_for(Option::is_some).await.ok().and_then(|end| *end)
}

/// A connection that was gone before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Whether each worker gets a socket of its own on one port, among which the kernel spreads connections.
const SHARES_PORT: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Whether others may listen beside this socket. One that was inherited may not have been opened for that.
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
