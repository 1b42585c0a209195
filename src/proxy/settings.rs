//! Settings of the proxy: timeouts, limits, the retry budget, the queue, probes.

use http::HeaderName;
use std::time::Duration;

/// The timeouts of client and upstream connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// For the whole head of a request, from its first byte, or from the start of the connection. Default 10 s.
    pub header: Duration,
    /// For connecting to an upstream. Default 2 s.
    pub connect: Duration,
    /// For the first byte of a response, from the last byte that the client sent. Default 60 s.
    pub response: Duration,
    /// For the next byte of a body, for the next request of a kept-alive connection, and for connections to upstreams
    /// that lie unused. A tunnel may be silent for longer, unless one side has ended or does not accept data. Default
    /// 90 s.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { header: secs(10), connect: secs(2), response: secs(60), idle: secs(90) }
    }
}

/// The limits on requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// All header fields together, in bytes: the name and value of each, and four for the rest of its line. Beyond
    /// that the reply is 431. Default 16 KiB. There may be at most 100 fields.
    pub header_bytes: usize,
    /// The target, in bytes. Beyond that the reply is 414. Default 8 KiB, at most 65,534.
    pub uri_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes: 16 * 1024, uri_bytes: 8 * 1024 }
    }
}

/// How many retries there may be, over all workers: requests that are offered to another upstream or sent again. The
/// budget saves up some ten seconds' worth. It is Finagle's (`RetryBudget`), which tower has too.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetrySettings {
    /// Retries for each request, 0 or more. Default 0.2.
    pub ratio: f64,
    /// Retries a second besides. Default 10; with a ratio of 0 too, there are no retries.
    pub min_per_second: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { ratio: 0.2, min_per_second: 10 }
    }
}

/// The queue of requests that wait while all upstreams are at their limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueSettings {
    /// The most requests that wait at once, over all workers; 0 for no queue. Default 1024.
    pub size: usize,
    /// The longest wait. Default 5 s.
    pub timeout: Duration,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { size: 1024, timeout: Duration::from_secs(5) }
    }
}

/// How upstreams are probed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeSettings {
    /// The target of a `GET`, in origin form and without spaces, such as `/healthz`; without one a probe is a TCP
    /// connection, opened and closed. Default none.
    pub path: Option<String>,
    /// What a response means. Default [`ProbeProfile::Standard`].
    pub profile: ProbeProfile,
    /// From one probe to the next, with a jitter of 15 %. An upstream that fails its probes or is down is probed four
    /// times as often, but not more often than every 250 ms. From 10 ms to a day; default 2 s.
    pub interval: Duration,
    /// For a whole probe. Default 1 s.
    pub timeout: Duration,
    /// The header field of a probe's response that identifies the process, by a value that no other process is likely
    /// to have. Default none.
    pub incarnation_header: Option<HeaderName>,
    /// Likewise, a JSON pointer (RFC 6901) to a string, number or boolean in the body, of up to 64 KiB. The header
    /// field takes precedence. Default none.
    pub incarnation_json: Option<String>,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self {
            path: None,
            profile: ProbeProfile::Standard,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            incarnation_header: None,
            incarnation_json: None,
        }
    }
}

/// What the response to a probe means. In every profile 2xx passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeProfile {
    /// Any other status fails.
    Standard,
    /// 503 with `Retry-After` means full: the upstream serves the sessions it has and wants no new ones. That is how
    /// [Wisej's health check][docs] at `/healthcheck.wx` responds by default.
    ///
    /// [docs]: https://docs.wisej.com/api/wisej.core/general/wisej.core.healthcheck
    Wisej,
}
