//! What makes received bytes not HTTP.

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
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// The most fields that a head or a trailer section may have.
pub(crate) const MAX_FIELDS: usize = 100;
