//! Why a connection could not be made, an exchange brought no response, or a body broke off.

use crate::health::Outcome;
use crate::proxy::http1::Malformed;
use std::io;

/// Why a connection could not be made.
#[derive(Debug)]
pub(crate) enum ConnectError {
    TimedOut,
    Failed(io::Error),
}

impl ConnectError {
    /// What the failure says about the upstream; `None` where the cause is this machine.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
        };
        let Self::Failed(error) = self else { return Some(Outcome::ConnectTimedOut) };
        match error.kind() {
            ConnectionRefused => Some(Outcome::ConnectRefused),
            TimedOut | HostUnreachable | NetworkUnreachable => Some(Outcome::ConnectTimedOut),
            ConnectionReset | ConnectionAborted => Some(Outcome::Broken),
            // The name did not resolve. That may hold for all upstreams at once, so it proves nothing about this one.
            _ if error.raw_os_error().is_none() => Some(Outcome::Broken),
            // No file descriptor or no port is left.
            _ => None,
        }
    }
}

/// Why an exchange brought no response.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// The upstream takes nothing, and no byte of the request was sent.
    Unsent,
    /// The connection broke off after a part of the request was sent.
    Broken {
        error: BodyError,
        /// Whether a byte of a response came. Until then an idempotent request may be sent again.
        answered: bool,
    },
    /// The timeout passed.
    TimedOut {
        /// It was the client's turn: its request is not complete.
        client: bool,
    },
}

/// Why an exchange with an upstream broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The upstream's socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The upstream sent what is not HTTP, or less than it said.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The client broke off its request.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// Nothing came for the idle timeout.
    #[error("the upstream sent nothing for the idle timeout")]
    Idle,
}

/// Why an upload broke off.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The client broke off or sent what is not HTTP, as the server tells that runs the service.
    #[error(transparent)]
    Server(Box<dyn std::error::Error + Send + Sync>),
    /// The client sent what is not HTTP.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The client closed its side before the end of the body.
    #[error("the client closed its side before the end of the body")]
    Closed,
    /// The client reset its stream.
    #[error("the client reset the stream before the end of the body")]
    Reset,
    /// The body is not as long as its head said.
    #[error("the body is not as long as its head said")]
    Length,
}
