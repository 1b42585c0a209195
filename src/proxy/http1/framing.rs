//! Where a body ends (RFC 9112, section 6.3).

use super::chunked::Chunked;
use super::error::Malformed;
use super::piece::Piece;
use bytes::Bytes;
use http_body::SizeHint;

/// What is left of a body on its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// So many bytes; 0 once it is complete.
    Length(u64),
    Chunked(Chunked),
    /// Everything until the upstream closes the connection.
    UntilClose,
}

/// How a request tells the upstream where its body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Length {
    /// There is no body, and no field says so.
    None,
    Exact(u64),
    Chunked,
}

impl Framing {
    pub(crate) const NONE: Self = Self::Length(0);
    pub(crate) const CHUNKED: Self = Self::Chunked(Chunked::Size);

    /// Takes the next piece off `input`.
    pub(crate) fn decode(&mut self, input: &mut Bytes) -> Result<Piece, Malformed> {
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
    pub(crate) fn close(&mut self) -> Result<(), Malformed> {
        match self {
            Self::UntilClose => {
                *self = Self::NONE;
                Ok(())
            }
            _ if self.is_done() => Ok(()),
            _ => Err(Malformed::Incomplete),
        }
    }

    /// Whether the body is complete.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done))
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }
}
