//! How long the proxy waits, how much it takes, how often it tries again, and how it probes.

use http::HeaderName;
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
    /// connections to upstreams are kept. A tunnel may be silent for longer, unless one side has ended or does not take what it
    /// is to hear. Default 90 s.
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

/// How many retries there may be, over all workers: tries of a request on another upstream, and requests that are sent
/// again. What was saved up is worth some ten seconds. The budget is Finagle's (`RetryBudget`), which tower has too.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetrySettings {
    /// Retries for each request, 0 or above. Default 0.2.
    pub ratio: f64,
    /// Retries a second besides. Default 10; with a ratio of 0 too, there are no retries.
    pub min_per_second: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { ratio: 0.2, min_per_second: 10 }
    }
}

/// How many requests wait for a place while all upstreams are at their limit, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueSettings {
    /// The most that wait at once, over all workers; 0 for none. Default 1024.
    pub size: usize,
    /// The longest that one waits. Default 5 s.
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
    /// The target of a `GET`, in origin form and without spaces, such as `/healthz`; without one a probe is a TCP connection, made and closed. Default none.
    pub path: Option<String>,
    /// What an answer means. Default [`ProbeProfile::Standard`].
    pub profile: ProbeProfile,
    /// From one probe to the next, give or take 15 %. An upstream that fails its probes or is down is probed four times
    /// as often, but for a floor of 250 ms. From 10 ms to a day; default 2 s.
    pub interval: Duration,
    /// For a whole probe. Default 1 s.
    pub timeout: Duration,
    /// The field of a probe's response that says which process answers, by any value that no other process is likely
    /// to have. Default none.
    pub incarnation_header: Option<HeaderName>,
    /// Likewise, a JSON pointer (RFC 6901) to a string, number or boolean in the body, of which the first 64 KiB are
    /// read. The field counts where there are both. Default none.
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

/// What the answer to a probe means. In every profile 2xx is passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeProfile {
    /// Anything else is failed.
    Standard,
    /// 503 with `Retry-After` is full: the upstream serves the sessions it has and wants no new ones. So [Wisej's health
    /// check][docs] at `/healthcheck.wx` answers unless it is configured otherwise.
    ///
    /// [docs]: https://docs.wisej.com/api/wisej.core/general/wisej.core.healthcheck
    Wisej,
}
