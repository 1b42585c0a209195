//! Settings of the proxy: timeouts, limits, the retry budget, the queue, probes.

use crate::settings::settings;
use http::HeaderName;
use std::time::Duration;

settings! {
    /// The timeouts of client and upstream connections.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Timeouts {
        /// For the whole head of a request, from its first byte, or from the start of the connection. Default 10 s.
        header: Duration = Duration::from_secs(10),
        /// For connecting to an upstream. Default 2 s.
        connect: Duration = Duration::from_secs(2),
        /// For the first byte of a response, from the last byte that the client sent. Default 60 s.
        response: Duration = Duration::from_secs(60),
        /// For the next byte of a body, for the next request of a kept-alive connection, and for connections to
        /// upstreams that lie unused. A tunnel may be silent for longer, unless one side has ended or does not accept
        /// data. Default 90 s.
        idle: Duration = Duration::from_secs(90),
    }
}

settings! {
    /// The limits on requests.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Limits {
        /// All header fields together, in bytes: the name and value of each, and four for the rest of its line. Beyond
        /// that the reply is 431. Default 16 KiB. There may be at most 100 fields.
        header_bytes: usize = 16 * 1024,
        /// The target, in bytes. Beyond that the reply is 414. Default 8 KiB, at most 65,534.
        uri_bytes: usize = 8 * 1024,
    }
}

settings! {
    /// How many retries there may be, over all workers: requests that are offered to another upstream or sent again.
    /// The budget saves up some ten seconds' worth. It is Finagle's (`RetryBudget`), which tower has too.
    #[derive(Clone, Copy, PartialEq, Debug)]
    pub struct RetrySettings {
        /// Retries for each request, 0 or more. Default 0.2.
        ratio: f64 = 0.2,
        /// Retries a second besides. Default 10; with a ratio of 0 too, there are no retries.
        min_per_second: u32 = 10,
    }
}

settings! {
    /// The queue of requests that wait while all upstreams are at their limit.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct QueueSettings {
        /// The most requests that wait at once, over all workers; 0 for no queue. Default 1024.
        size: usize = 1024,
        /// The longest wait. Default 5 s.
        timeout: Duration = Duration::from_secs(5),
    }
}

/// How upstreams are probed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
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

impl ProbeSettings {
    /// With the target of a `GET`, in origin form and without spaces, such as `/healthz`. Default: none, and a probe is
    /// a TCP connection.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// With this meaning of a response. Default [`ProbeProfile::Standard`].
    #[must_use]
    pub fn profile(mut self, profile: ProbeProfile) -> Self {
        self.profile = profile;
        self
    }

    /// With this time from one probe to the next, from 10 ms to a day; see the [field](Self#structfield.interval).
    /// Default 2 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// With this timeout for a whole probe. Default 1 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With the header field of a probe's response that identifies the process, by a value that no other process is
    /// likely to have. Default: none.
    #[must_use]
    pub fn incarnation_header(mut self, name: HeaderName) -> Self {
        self.incarnation_header = Some(name);
        self
    }

    /// With a JSON pointer (RFC 6901) to what identifies the process in the body of a probe's response; see the
    /// [field](Self#structfield.incarnation_json). Default: none.
    #[must_use]
    pub fn incarnation_json(mut self, pointer: impl Into<String>) -> Self {
        self.incarnation_json = Some(pointer.into());
        self
    }
}

/// What the response to a probe means. In every profile 2xx passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProbeProfile {
    /// Any other status fails.
    Standard,
    /// 503 with `Retry-After` means full: the upstream serves the sessions it has and wants no new ones. That is how
    /// [Wisej's health check][docs] at `/healthcheck.wx` responds by default.
    ///
    /// [docs]: https://docs.wisej.com/api/wisej.core/general/wisej.core.healthcheck
    Wisej,
}
