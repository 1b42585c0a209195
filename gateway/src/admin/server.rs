//! The administration on an address of its own, on a thread of its own: it answers while the workers are busy, and while
//! the gateway stops.

use crate::admin::{Admin, BearerToken, TokenError};
use crate::listen::inherit::Inherited;
use crate::listen::server::ServeError;
use crate::thread::Companion;
use homing::config::keyfile::open_to_others;
use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at once; who comes later waits.
const MAX_CONNECTIONS: usize = 256;

/// How long accepting pauses when the process is out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why there is no token to use.
#[derive(Debug, thiserror::Error)]
#[error("token_file {}: {source}", file.display())]
pub struct TokenFileError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    source: TokenFileFault,
}

#[derive(Debug, thiserror::Error)]
enum TokenFileFault {
    #[error("can't be read: {0}; make it with `openssl rand -hex 32`, for the gateway alone to read")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The token in a file, whose mode should keep others from it.
pub(crate) fn load_token(file: &Path) -> Result<BearerToken, TokenFileError> {
    /// No token is longer, and a file may be.
    const MOST: u64 = 64 * 1024;
    let load = || -> Result<BearerToken, TokenFileFault> {
        let open = File::open(file)?;
        if let Some(warning) = open_to_others(file, &open)? {
            tracing::warn!("{warning}");
        }
        let mut text = String::new();
        open.take(MOST).read_to_string(&mut text)?;
        Ok(BearerToken::new(&text)?)
    };
    load().map_err(|source| TokenFileError { file: file.to_owned(), source })
}

/// A bound socket, not yet accepting.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    /// The same socket, for whoever takes it over.
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

    /// Likewise, but for a socket on `address` that was inherited: this is used.
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
        let watching = admin.clone();
        runtime.spawn(async move { watching.keep_history().await });
        let run = move || runtime.block_on(accept(self.listener, admin, stopped));
        let thread = Companion::start("admin", stop, run).map_err(ServeError::Worker)?;
        Ok(RunningAdmin { _thread: thread, spare: self.spare })
    }
}

/// An administration that answers. Dropping it ends it, within a second or so.
#[derive(Debug)]
pub struct RunningAdmin {
    _thread: Companion<watch::Sender<()>>,
    spare: TcpListener,
}

impl RunningAdmin {
    /// Its socket once more, so that another may go on where this one ends.
    ///
    /// # Errors
    /// Where the process is out of file descriptors.
    pub fn socket(&self) -> io::Result<TcpListener> {
        self.spare.try_clone()
    }

    /// Ends it, and keeps its socket: who connects meanwhile waits.
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
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut told = stopped.clone();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((place, listener.accept().await?))
        };
        tokio::select! {
            _ = told.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = accepted => match accepted {
                Ok((place, (stream, peer))) => {
                    let (admin, mut stopped) = (admin.clone(), stopped.clone());
                    connections.spawn(async move {
                        admin.serve(stream, peer, async { drop(stopped.changed().await) }).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    while connections.join_next().await.is_some() {}
}
