//! The chunked coding (RFC 9112, section 7.1), written. The counterpart of [`chunked`](super::chunked), for both
//! directions.

use super::syntax::line;
use http::HeaderMap;
use std::io::Write;

/// What follows the data of a chunk.
pub(crate) const CHUNK_END: &[u8] = b"\r\n";

/// Appends the line before a chunk of `length` bytes, which must not be 0: that would end the body.
pub(crate) fn write_chunk_size(out: &mut Vec<u8>, length: usize) {
    debug_assert_ne!(length, 0, "an empty chunk ends the body");
    // Writing to a vector cannot fail.
    let _ = write!(out, "{length:x}\r\n");
}

/// Appends the last chunk and the trailer section.
pub(crate) fn write_last_chunk(out: &mut Vec<u8>, trailers: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        line(out, name.as_str(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::{Framing, Piece};
    use super::*;
    use bytes::Bytes;

    #[test]
    fn what_is_written_is_what_the_decoder_reads() {
        let mut trailers = HeaderMap::new();
        trailers.append("x-sum", "1".parse().unwrap());
        trailers.append("x-sum", "2".parse().unwrap());
        for length in [1, 9, 10, 15, 16, 255, 4096, 65_537] {
            let data = vec![b'\r'; length];
            let mut out = Vec::new();
            write_chunk_size(&mut out, length);
            out.extend_from_slice(&data);
            out.extend_from_slice(CHUNK_END);
            write_last_chunk(&mut out, &trailers);
            let (mut input, mut framing) = (Bytes::from(out), Framing::CHUNKED);
            assert!(matches!(framing.decode(&mut input), Ok(Piece::Data(read)) if read == data), "{length}");
            assert!(matches!(framing.decode(&mut input), Ok(Piece::Trailers(read)) if read == trailers));
            assert!(matches!(framing.decode(&mut input), Ok(Piece::End)) && input.is_empty());
        }
    }
}
