//! What a connection to an upstream runs over.

use std::fmt::Debug;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A byte stream to an upstream: TCP, or a script in memory in tests.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Debug + Sized {
    /// Connects to `host:port` or a literal address.
    fn connect(address: &str) -> impl Future<Output = io::Result<Self>> + Send;

    /// Whether an idle connection is still open: nothing is to be read from it, no data, end or error. This sees what
    /// the runtime has been told; a close that is still on its way shows at the next use only. A byte that is read is
    /// lost: a connection where this says no is of no further use.
    fn is_open(&self) -> bool;
}

impl Transport for TcpStream {
    async fn connect(address: &str) -> io::Result<Self> {
        let stream = Self::connect(address).await?;
        // A proxy writes whole messages; waiting for more of them only adds delay.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn is_open(&self) -> bool {
        matches!(self.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
