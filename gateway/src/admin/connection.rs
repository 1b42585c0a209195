//! One connection of the administration.

use crate::admin::Admin;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The memory for a head and part of a body.
const BUFFER: usize = 64 * 1024;

/// How long responses may still run when the server stops: a stream of events would never end.
const GRACE: Duration = Duration::from_secs(1);

impl Admin {
    /// Serves one accepted connection until it is closed, by HTTP/1.1. Spawn it on a task of its own. When `shutdown`
    /// completes, responses under way have a second to end.
    pub async fn serve<T>(&self, stream: T, peer: SocketAddr, shutdown: impl Future<Output = ()>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), self.service(peer));
        let (mut connection, mut shutdown) = (pin!(connection), pin!(shutdown));
        let ended = poll_fn(|cx| match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => shutdown.as_mut().poll(cx).map(|()| None),
        });
        let ended = match ended.await {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection to the administration ended");
        }
    }
}
