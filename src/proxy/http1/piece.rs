//! What decoding a body yields, whatever its framing.

use bytes::Bytes;
use http::HeaderMap;

/// The next part of a body, as [`Framing::decode`](super::Framing::decode) takes it off the input.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The body is complete.
    End,
    /// More input is needed.
    Starved,
}
