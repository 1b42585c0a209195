//! Why a request got no response, and what an error of the client service says about an upstream.

use crate::balancer::PickError;
use crate::cluster::PinLoss;
use crate::health::Outcome;
use crate::rng::EntropyError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Any error, as tower and hyper pass it on.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why [`Sticky`](super::Sticky) has no response. Always `Send`, `Sync` and `'static`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StickyError {
    /// No upstream accepts sessions.
    #[error("no upstream is available")]
    Unavailable,
    /// The upstreams that could take the request are at their limits of requests in flight.
    #[error("every upstream that could take the request is at its limit")]
    Full,
    /// The session's own upstream cannot take it, and sessions are not moved.
    #[error("the session's upstream is unavailable ({0})")]
    Rejected(PinLoss),
    /// The entropy source gave no session id.
    #[error(transparent)]
    Entropy(EntropyError),
    /// The upstream's address is not `host:port`, so no URI can have it.
    #[error("the address of upstream {upstream:?} is not the authority of a URI")]
    Address {
        /// The upstream's name.
        upstream: String,
        /// What is wrong with it.
        source: http::Error,
    },
    /// The client service failed. Boxed, as tower's services do it, so that any client's error is accepted, those of
    /// tower's own layers too; `downcast_ref` has its type.
    #[error("the client service failed")]
    Client(#[source] BoxError),
}

impl StickyError {
    /// The status for the client: 503 where no upstream can take the request now, 502 where one failed, 500 otherwise.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unavailable | Self::Full | Self::Rejected(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Client(_) => StatusCode::BAD_GATEWAY,
            Self::Entropy(_) | Self::Address { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The response for the client: the [status](Self::status), a line of text that tells nothing of the upstreams, and
    /// `Retry-After: 1` with a 503. `B` may be axum's `Body`, `Full<Bytes>` or `String`.
    #[must_use]
    pub fn response<B: From<&'static str>>(&self) -> Response<B> {
        let text = match self.status() {
            StatusCode::SERVICE_UNAVAILABLE => "No instance is available. Try again shortly.\n",
            StatusCode::BAD_GATEWAY => "The instance could not be reached.\n",
            _ => "The request could not be forwarded.\n",
        };
        let mut response = Response::new(B::from(text));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<PickError> for StickyError {
    fn from(error: PickError) -> Self {
        match error {
            PickError::Full => Self::Full,
            PickError::Rejected(loss) => Self::Rejected(loss),
            PickError::Entropy(error) => Self::Entropy(error),
            _ => Self::Unavailable,
        }
    }
}

/// What an error of a client service says about the upstream that it was to reach; `None` where it says nothing.
/// `waited` is the time from the call to the error. [`StickyBuilder::outcome`](super::StickyBuilder::outcome) replaces
/// it.
///
/// It follows the error's sources, so it sees an [`io::Error`] within those of hyper, hyper-util's client and reqwest:
///
/// | what it finds | outcome |
/// |---|---|
/// | connection refused | [`ConnectRefused`](Outcome::ConnectRefused), proof at once |
/// | host or network unreachable; the operating system's own timeout | [`ConnectTimedOut`](Outcome::ConnectTimedOut) |
/// | any other timeout of I/O or of hyper | [`TimedOut`](Outcome::TimedOut) |
/// | hyper blames this side: the request's body failed, or the request is invalid | `None` |
/// | any other error of the operating system, such as no file descriptor left | `None` |
/// | a connection that broke off, and anything else | [`Broken`](Outcome::Broken) |
///
/// A timeout that a layer within the client adds is an error of a type that only that layer knows, and counts as
/// `Broken`, as would a request that such a layer sheds.
#[must_use]
pub fn outcome_of(error: &(dyn Error + 'static), waited: Duration) -> Option<Outcome> {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.get_ref() {
                // `source` would skip the error within.
                Some(within) if error.kind() == ErrorKind::Other => {
                    source = Some(within);
                    continue;
                }
                _ => return outcome_of_io(error, waited),
            }
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_user() {
                return None;
            }
            if error.is_timeout() {
                return Some(Outcome::TimedOut { after: waited });
            }
        }
        source = error.source();
    }
    Some(Outcome::Broken)
}

fn outcome_of_io(error: &io::Error, waited: Duration) -> Option<Outcome> {
    use ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable,
        TimedOut,
    };
    let is_of_system = error.raw_os_error().is_some();
    match error.kind() {
        ConnectionRefused => Some(Outcome::ConnectRefused),
        HostUnreachable | NetworkUnreachable => Some(Outcome::ConnectTimedOut),
        TimedOut if is_of_system => Some(Outcome::ConnectTimedOut),
        TimedOut => Some(Outcome::TimedOut { after: waited }),
        ConnectionReset | ConnectionAborted | BrokenPipe => Some(Outcome::Broken),
        // This machine's: no file descriptor or no port is left, for example.
        _ if is_of_system => None,
        _ => Some(Outcome::Broken),
    }
}
