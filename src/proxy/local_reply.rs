//! Local replies, which the proxy gives in its own name: a status, a short text for people, a counter for machines.

use http::StatusCode;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! local_replies {
    ($($(#[$doc:meta])* $variant:ident = $status:ident, $name:literal, $text:literal;)*) => {
        /// Why the proxy answered a request itself.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum LocalReply {
            $($(#[$doc])* $variant,)*
        }

        impl LocalReply {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The status of the reply.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }

            /// Its name in logs and metrics, such as `no_host`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The line of text that the client reads.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => concat!($text, "\n")),* }
            }
        }
    };
}

local_replies! {
    /// The request is not HTTP, or can be read in more than one way.
    Malformed = BAD_REQUEST, "malformed", "The request is not valid HTTP.";
    /// An HTTP/1.1 request without a `Host`.
    NoHost = BAD_REQUEST, "no_host", "The request names no host.";
    /// More than one `Host`, or one that no URI could have.
    BadHost = BAD_REQUEST, "bad_host", "The request's host is not valid.";
    /// A `Transfer-Encoding` other than exactly one `chunked`, or one with a `Content-Length` beside it.
    BadTransferEncoding = BAD_REQUEST, "bad_transfer_encoding", "The request's transfer encoding is not supported.";
    /// A target that is not valid, or not for this method, such as `GET *`.
    BadTarget = BAD_REQUEST, "bad_target", "The request's target is not valid.";
    /// The request body broke off or was not valid.
    BadBody = BAD_REQUEST, "bad_body", "The request body is not valid.";
    /// CONNECT: this is no forward proxy.
    Connect = METHOD_NOT_ALLOWED, "connect", "CONNECT is not supported here.";
    /// The client stopped sending.
    RequestTimeout = REQUEST_TIMEOUT, "request_timeout", "The request did not arrive in time.";
    /// A target longer than the limit.
    UriTooLong = URI_TOO_LONG, "uri_too_long", "The request's target is too long.";
    /// An `Expect` other than `100-continue`.
    Expectation = EXPECTATION_FAILED, "expectation", "The request expects what is not supported.";
    /// Header fields beyond the limit.
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large",
        "The request's header fields are too large.";
    /// A failure of the proxy itself.
    Internal = INTERNAL_SERVER_ERROR, "internal", "The proxy failed.";
    /// No upstream could be connected to.
    ConnectFailed = BAD_GATEWAY, "connect_failed", "The upstream could not be reached.";
    /// The upstream broke off before it responded. It may have seen the request.
    UpstreamClosed = BAD_GATEWAY, "upstream_closed", "The upstream closed the connection before it answered.";
    /// The upstream's response is not valid HTTP, or breaks off in its head.
    BadResponse = BAD_GATEWAY, "bad_response", "The upstream's answer is not valid.";
    /// No upstream is available.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "No instance is available. Try again shortly.";
    /// All upstreams are at their limits, and requests do not wait.
    Full = SERVICE_UNAVAILABLE, "full", "All instances are busy. Try again shortly.";
    /// All upstreams are at their limits, and the queue is full.
    QueueFull = SERVICE_UNAVAILABLE, "queue_full", "All instances are busy. Try again shortly.";
    /// No place came free in time.
    QueueTimeout = SERVICE_UNAVAILABLE, "queue_timeout", "All instances are busy. Try again shortly.";
    /// The session's own upstream cannot take it, and sessions are not moved.
    Rejected = SERVICE_UNAVAILABLE, "rejected", "Your session's instance is not available. Try again shortly.";
    /// No upstream was connected to in time.
    ConnectTimeout = GATEWAY_TIMEOUT, "connect_timeout", "The upstream could not be reached in time.";
    /// The upstream did not begin to respond in time.
    ResponseTimeout = GATEWAY_TIMEOUT, "response_timeout", "The upstream did not answer in time.";
}

impl fmt::Display for LocalReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many local replies there were, by reason. Reading and counting cost one relaxed atomic operation each.
#[derive(Debug, Default)]
pub struct LocalReplyCounts([AtomicU64; LocalReply::ALL.len()]);

impl LocalReplyCounts {
    /// How many there were for this reason.
    #[must_use]
    pub fn get(&self, reply: LocalReply) -> u64 {
        self.0[reply as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, reply: LocalReply) {
        self.0[reply as usize].fetch_add(1, Ordering::Relaxed);
    }
}
