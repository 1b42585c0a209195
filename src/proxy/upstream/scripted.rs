//! The transport of unit tests: a stream in memory where a [`ScriptedUpstream`] stands for an address, and TCP
//! elsewhere.

use super::transport::Transport;
use crate::proxy::io::scripted::{Peer, ScriptedStream, scripted};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

thread_local! {
    static UPSTREAMS: RefCell<HashMap<String, Vec<Peer>>> = RefCell::default();
}

/// An upstream in memory, on the thread that has made it. It accepts all connections.
pub(crate) struct ScriptedUpstream {
    address: String,
}

impl ScriptedUpstream {
    pub(crate) fn listen(address: &str) -> Self {
        UPSTREAMS.with_borrow_mut(|upstreams| upstreams.insert(address.to_owned(), Vec::new()));
        Self { address: address.to_owned() }
    }

    /// The other ends of all connections so far, in order.
    pub(crate) fn connections(&self) -> Vec<Peer> {
        UPSTREAMS.with_borrow(|upstreams| upstreams[&self.address].clone())
    }
}

impl Drop for ScriptedUpstream {
    fn drop(&mut self) {
        UPSTREAMS.with_borrow_mut(|upstreams| upstreams.remove(&self.address));
    }
}

#[derive(Debug)]
pub(crate) enum TestStream {
    Tcp(TcpStream),
    Scripted(ScriptedStream),
}

impl Transport for TestStream {
    async fn connect(address: &str) -> io::Result<Self> {
        let scripted = UPSTREAMS.with_borrow_mut(|upstreams| {
            let peers = upstreams.get_mut(address)?;
            let (stream, peer) = scripted();
            peers.push(peer);
            Some(stream)
        });
        match scripted {
            Some(stream) => Ok(Self::Scripted(stream)),
            None => <TcpStream as Transport>::connect(address).await.map(Self::Tcp),
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_open(),
            Self::Scripted(stream) => stream.is_open(),
        }
    }
}

impl Transport for ScriptedStream {
    async fn connect(_: &str) -> io::Result<Self> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    fn is_open(&self) -> bool {
        self.is_quiet()
    }
}

impl AsyncRead for TestStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Scripted(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for TestStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Scripted(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Scripted(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Scripted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Scripted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
