//! How long the proxy waits, and how much it takes.

use std::time::Duration;

/// How long the proxy waits for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// For the whole head of a request, from its first byte (or the connection's start) on. Default 10 s.
    pub header: Duration,
    /// For a connection to an upstream. Default 2 s.
    pub connect: Duration,
    /// For the first byte of a response, from the last byte that the client sent. Default 60 s.
    pub response: Duration,
    /// For the next byte of a body, for the next request of a kept-alive connection, and how long unused
    /// connections to upstreams are kept. Tunnels are not limited by it. Default 90 s.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { header: secs(10), connect: secs(2), response: secs(60), idle: secs(90) }
    }
}

/// How much a request may bring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// All header fields together, in bytes, each with its name, value and four for the rest of its line; more is
    /// answered 431. Default 16 KiB. There may be at most 100 of them.
    pub header_bytes: usize,
    /// The target, in bytes; more is answered 414. Default 8 KiB, at most 65,534.
    pub uri_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes: 16 * 1024, uri_bytes: 8 * 1024 }
    }
}
