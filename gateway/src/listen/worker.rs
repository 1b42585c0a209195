//! One worker: accepts from its listeners and serves each connection, until it is told to shut down.

use super::socket::ACCEPT_PAUSE;
use super::tls::Acceptor;
use arc_swap::ArcSwapOption;
use homing::proxy::{Protocol, Proxy};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// TCP keepalive of clients: how long a connection is idle before the first probe, and from one probe to the next.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How often a worker that shuts down looks whether tunnels have ended.
const TUNNEL_POLL: Duration = Duration::from_millis(20);

/// How the connections of a listener are to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shutdown {
    /// For how long idle connections may still bring one more request.
    pub(super) linger: Duration,
    /// When requests and tunnels that still run are cut off.
    pub(super) deadline: Instant,
}

/// A listening socket on its way to a worker.
pub(super) struct OpenedListener {
    pub(super) socket: TcpListener,
    pub(super) shutdown: watch::Receiver<Option<Shutdown>>,
}

#[derive(Clone)]
pub(super) struct Worker {
    pub(super) proxy: Proxy,
    pub(super) tls: Arc<ArcSwapOption<Acceptor>>,
    /// Of the whole server.
    pub(super) shutdown: watch::Receiver<Option<Shutdown>>,
}

impl Worker {
    /// Runs until everything that it accepted has ended, or the deadline of the shutdown is over.
    pub(super) async fn run(mut self, mut listeners: mpsc::UnboundedReceiver<OpenedListener>) {
        let mut accepting = JoinSet::new();
        loop {
            tokio::select! {
                opened = listeners.recv() => match opened {
                    Some(OpenedListener { socket, shutdown }) => match tokio::net::TcpListener::from_std(socket) {
                        Ok(listener) => drop(accepting.spawn(self.clone().accept(listener, shutdown))),
                        Err(error) => tracing::error!(%error, "cannot use a listener"),
                    },
                    None => break,
                },
                Some(_) = accepting.join_next() => {}
                _ = requested(&mut self.shutdown) => break,
            }
        }
        // Sockets that were sent before the shutdown have connections in their queues.
        while let Ok(OpenedListener { socket, shutdown }) = listeners.try_recv() {
            if let Ok(listener) = tokio::net::TcpListener::from_std(socket) {
                accepting.spawn(self.clone().accept(listener, shutdown));
            }
        }
        while accepting.join_next().await.is_some() {}
        while self.in_flight() > 0 && self.shutdown.borrow().is_some_and(|it| Instant::now() < it.deadline) {
            sleep(TUNNEL_POLL).await;
        }
    }

    /// Requests and tunnels of all workers: a tunnel outlives the connection it began on.
    fn in_flight(&self) -> u64 {
        let cluster = self.proxy.balancer().cluster();
        cluster.members().iter().map(|member| u64::from(member.upstream().in_flight())).sum()
    }

    async fn accept(self, listener: tokio::net::TcpListener, mut shutdown: watch::Receiver<Option<Shutdown>>) {
        let mut connections = JoinSet::new();
        {
            let mut requested = pin!(linger_once_requested(shutdown.clone()));
            loop {
                tokio::select! {
                    accepted = listener.accept() => self.accepted(accepted, &shutdown, &mut connections).await,
                    Some(_) = connections.join_next() => {}
                    _ = &mut requested => break,
                }
            }
        }
        // No other process takes what the kernel has completed for a socket of our own. The queue is asked directly,
        // since the runtime may not have been notified of it yet.
        if let Ok(listener) = listener.into_std() {
            while let Ok((stream, peer)) = listener.accept() {
                let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                self.accepted(stream.map(|stream| (stream, peer)), &shutdown, &mut connections).await;
            }
        }
        loop {
            // None where the server was dropped.
            let Some(Shutdown { deadline, .. }) = *shutdown.borrow_and_update() else { break };
            tokio::select! {
                joined = connections.join_next() => if joined.is_none() { break },
                () = sleep_until(deadline) => break,
                changed = shutdown.changed() => if changed.is_err() { break },
            }
        }
    }

    async fn accepted(
        &self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        shutdown: &watch::Receiver<Option<Shutdown>>,
        connections: &mut JoinSet<()>,
    ) {
        match accepted {
            Ok((stream, peer)) => {
                let (proxy, shutdown) = (self.proxy.clone(), linger_once_requested(shutdown.clone()));
                // Two futures, so that the one of a connection without TLS has no room for a TLS connection.
                match self.tls.load_full() {
                    None => drop(connections.spawn(serve(proxy, stream, peer, shutdown))),
                    Some(tls) => drop(connections.spawn(serve_tls(proxy, tls, stream, peer, shutdown))),
                }
            }
            Err(error) if is_peers_error(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for now");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(proxy: Proxy, stream: TcpStream, peer: SocketAddr, shutdown: impl Future<Output = Duration>) {
    if set_options(&stream).is_ok() {
        proxy.serve_until(stream, peer, Protocol::Clear, shutdown).await;
    }
}

async fn serve_tls(
    proxy: Proxy,
    tls: Arc<Acceptor>,
    stream: TcpStream,
    peer: SocketAddr,
    shutdown: impl Future<Output = Duration>,
) {
    if set_options(&stream).is_err() {
        return;
    }
    match tls.accept(stream).await {
        Ok((stream, protocol)) => {
            // A renewed certificate replaces it while this connection lives.
            drop(tls);
            proxy.serve_until(stream, peer, protocol, shutdown).await;
        }
        Err(error) => tracing::debug!(%peer, %error, "TLS handshake failed"),
    }
}

/// `TCP_NODELAY`, since a proxy writes whole messages and waiting for more only adds delay; keepalive, since a tunnel
/// may be silent for hours and only the kernel can find out that its client is gone. A socket that refuses them is
/// closed already.
fn set_options(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Completes when the shutdown is requested or the server is dropped, with how long idle connections may linger.
async fn linger_once_requested(mut shutdown: watch::Receiver<Option<Shutdown>>) -> Duration {
    requested(&mut shutdown).await.map_or(Duration::ZERO, |shutdown| shutdown.linger)
}

async fn requested(shutdown: &mut watch::Receiver<Option<Shutdown>>) -> Option<Shutdown> {
    shutdown.wait_for(Option::is_some).await.ok().and_then(|shutdown| *shutdown)
}

/// Whether the connection was closed by its client before it was accepted.
fn is_peers_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
