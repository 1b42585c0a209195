//! Where a response's body ends (RFC 9112, section 6.3).

use super::Malformed;
use super::chunked::Chunked;
use bytes::Bytes;
use http::HeaderMap;
use http_body::SizeHint;

/// What is left of a body on its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Framing {
    /// So many bytes; none once it is whole.
    Length(u64),
    Chunked(Chunked),
    /// All that comes until the upstream closes the connection.
    UntilClose,
}

/// What a body's bytes turned out to be.
#[derive(Debug)]
pub(in super::super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The body is whole.
    End,
    /// More has to be read first.
    Starved,
}

impl Framing {
    pub(in super::super) const NONE: Self = Self::Length(0);
    pub(super) const CHUNKED: Self = Self::Chunked(Chunked::Size);

    /// Takes the next piece off `input`.
    pub(in super::super) fn decode(&mut self, input: &mut Bytes) -> Result<Piece, Malformed> {
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::Length(_) | Self::UntilClose if input.is_empty() => Ok(Piece::Starved),
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= count as u64;
                Ok(Piece::Data(input.split_to(count)))
            }
            Self::UntilClose => Ok(Piece::Data(std::mem::take(input))),
            Self::Chunked(chunked) => chunked.decode(input),
        }
    }

    /// The upstream has closed the connection.
    pub(in super::super) fn close(&mut self) -> Result<(), Malformed> {
        match self {
            Self::UntilClose => {
                *self = Self::NONE;
                Ok(())
            }
            _ if self.is_done() => Ok(()),
            _ => Err(Malformed::Incomplete),
        }
    }

    /// Whether the body is whole.
    pub(in super::super) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done))
    }

    pub(in super::super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }
}
