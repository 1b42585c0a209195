//! Why listeners or workers did not start.

use std::io;
use std::net::SocketAddr;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {source}; is another program using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system reported.
        source: io::Error,
    },
    /// A worker could not be started.
    #[error("cannot start a worker: {0}; does the process have threads and file descriptors left?")]
    Worker(#[source] io::Error),
}
