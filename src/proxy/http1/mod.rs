//! HTTP/1.1 without I/O, on both sides: heads read and written, bodies framed and unframed.
//!
//! A request's head is written from the client's fields straight into the bytes that are sent, so that nothing is
//! rewritten in a map, and a retry sends the same bytes again. A response's lines go on to the client as they came. What is
//! read is parsed by [httparse](https://docs.rs/httparse), and shares the buffer it was read into.

mod chunked;
pub(crate) mod date;
pub(crate) mod fields;
mod framing;
#[cfg(any(test, fuzzing))]
#[allow(clippy::panic, reason = "a finding is a panic")]
pub mod fuzzing;
pub(crate) mod header_rules;
mod request;
mod response;
mod syntax;

pub(crate) use framing::{Framing, Length, Piece};
pub(crate) use request::{Received, has_end, receive};
pub(crate) use response::{ResponseHead, fields_of, status_line};
pub(crate) use syntax::line;

/// What was received is not HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// The head of a message.
    #[error("the head is not HTTP")]
    Head,
    /// A head of more than 64 KiB or 100 fields.
    #[error("the head is larger than {MAX_HEAD} bytes or has more than {MAX_FIELDS} fields")]
    TooLarge,
    /// Lengths that contradict each other, or a coding other than `chunked` alone.
    #[error("the length of the body is ambiguous")]
    Length,
    /// The line before a chunk, its end, or the trailers.
    #[error("a chunk is not framed as HTTP has it")]
    Chunk,
    /// The connection was closed before the end.
    #[error("the connection was closed before the end")]
    Incomplete,
}

/// The largest head of a response, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The most fields that a head or a trailer section may have.
const MAX_FIELDS: usize = 100;
