//! The upstream's side: connections, the pool that keeps them, request bodies on their way, and what is counted.
//!
//! Nothing here knows a client: a connection is lent the body that it sends ([`upload`], generic over its source),
//! and runs over any [`transport`]. It picks no upstream and tries nothing again; that is the exchange's.
//!
//! In reading order: [`transport`] (what a connection runs over), [`error`] (how it fails), [`upload`] (a request's
//! body), [`connection`] (one exchange after the other), [`pool`] (connections between exchanges), [`metered`] and
//! [`statistics`] (bytes and response times by upstream and worker).

pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod metered;
pub(crate) mod pool;
#[cfg(test)]
pub(crate) mod scripted;
pub(crate) mod statistics;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
pub(crate) mod upload;

/// What the proxy's connections run over. Unit tests of whole exchanges replace it by what can also be scripted.
#[cfg(test)]
pub(crate) use scripted::TestStream as UpstreamStream;
#[cfg(not(test))]
pub(crate) use tokio::net::TcpStream as UpstreamStream;
