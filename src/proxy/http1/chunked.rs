//! The chunked coding (RFC 9112, section 7.1), decoded. Extensions are not passed on.

use super::error::{MAX_FIELDS, Malformed};
use super::piece::Piece;
use super::syntax::has_bare_line_end;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The longest line that says how long a chunk is, with its extensions.
const MAX_SIZE_LINE: usize = 4096;

/// The longest trailer section. It is parsed anew with each piece that comes, so one byte by byte must not be long.
const MAX_TRAILERS: usize = 16 * 1024;

/// The part that comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chunked {
    Size,
    Data(u64),
    /// The line end after a chunk.
    DataEnd,
    Trailers,
    Done,
}

impl Chunked {
    /// Takes the next piece off `input`.
    pub(super) fn decode(&mut self, input: &mut Bytes) -> Result<Piece, Malformed> {
        loop {
            match *self {
                Self::Size => {
                    let Some(line) = size_line(input)? else { return Ok(Piece::Starved) };
                    let size = size(&input[..line])?;
                    input.advance(line + 2);
                    *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                }
                Self::Data(left) => {
                    if input.is_empty() {
                        return Ok(Piece::Starved);
                    }
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - count as u64;
                    *self = if left == 0 { Self::DataEnd } else { Self::Data(left) };
                    return Ok(Piece::Data(input.split_to(count)));
                }
                Self::DataEnd => {
                    match input.get(..2) {
                        Some(b"\r\n") => input.advance(2),
                        Some(_) => return Err(Malformed::Chunk),
                        None if matches!(**input, [] | [b'\r']) => return Ok(Piece::Starved),
                        None => return Err(Malformed::Chunk),
                    }
                    *self = Self::Size;
                }
                Self::Trailers => {
                    let Some((trailers, length)) = trailers(input)? else { return Ok(Piece::Starved) };
                    input.advance(length);
                    *self = Self::Done;
                    if !trailers.is_empty() {
                        return Ok(Piece::Trailers(trailers));
                    }
                }
                Self::Done => return Ok(Piece::End),
            }
        }
    }
}

/// The length of the line at the start of `input`, without its CR LF. A bare CR or LF ends lines only for some, which
/// is how requests are smuggled.
fn size_line(input: &[u8]) -> Result<Option<usize>, Malformed> {
    match input.iter().take(MAX_SIZE_LINE).position(|byte| matches!(byte, b'\r' | b'\n')) {
        Some(end) => match &input[end..] {
            [b'\r', b'\n', ..] => Ok(Some(end)),
            [b'\r'] => Ok(None),
            _ => Err(Malformed::Chunk),
        },
        None if input.len() < MAX_SIZE_LINE => Ok(None),
        None => Err(Malformed::Chunk),
    }
}

/// Hexadecimal digits, then perhaps blanks and an extension.
fn size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let rest = line[digits..].trim_ascii_start();
    if !(1..=16).contains(&digits) || !(rest.is_empty() || rest[0] == b';') {
        return Err(Malformed::Chunk);
    }
    let digit = |byte: &u8| u64::from((*byte as char).to_digit(16).unwrap_or(0));
    Ok(line[..digits].iter().fold(0, |size, byte| (size << 4) | digit(byte)))
}

/// The trailer section at the start of `input` and its length, once it is whole.
fn trailers(input: &Bytes) -> Result<Option<(HeaderMap, usize)>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(input, &mut fields) {
        Ok(httparse::Status::Complete((length, _))) if has_bare_line_end(&input[..length]) => Err(Malformed::Chunk),
        Ok(httparse::Status::Complete((length, fields))) => {
            let mut trailers = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed::Chunk)?;
                let value = HeaderValue::from_maybe_shared(input.slice_ref(field.value));
                trailers.append(name, value.map_err(|_| Malformed::Chunk)?);
            }
            Ok(Some((trailers, length)))
        }
        Ok(httparse::Status::Partial) if input.len() < MAX_TRAILERS => Ok(None),
        _ => Err(Malformed::Chunk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The body and the trailers of `wire`, which comes in pieces of `step` bytes; what is left over.
    fn decoded(wire: &[u8], step: usize) -> Result<(Vec<u8>, HeaderMap, Vec<u8>), Malformed> {
        let (mut decoder, mut input) = (Chunked::Size, Bytes::new());
        let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
        let mut pieces = wire.chunks(step);
        loop {
            match decoder.decode(&mut input)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::Trailers(fields) => trailers = fields,
                Piece::End => {
                    let rest = input.iter().chain(pieces.flatten()).copied().collect();
                    return Ok((body, trailers, rest));
                }
                Piece::Starved => {
                    let more = pieces.next().ok_or(Malformed::Incomplete)?;
                    input = [&input, more].concat().into();
                }
            }
        }
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let wire =
            b"5\r\nhello\r\n00a;name=\"v\";x \r\n, world of\r\n1 \r\n!\r\n0\r\nX-Sum: 1\r\nx-sum:2\r\n\r\nHTTP/1.1";
        for step in 1..wire.len() {
            let (body, trailers, rest) = decoded(wire, step).unwrap();
            assert_eq!(body, b"hello, world of!");
            assert_eq!(trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["1", "2"]);
            assert_eq!(rest, b"HTTP/1.1");
        }
    }

    #[test]
    fn what_others_might_read_differently_is_refused() {
        let long = [b"5;".as_slice(), &[b'x'; MAX_SIZE_LINE], b"\r\nhello\r\n0\r\n\r\n"].concat();
        let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        for wire in [
            b"5\nhello\r\n0\r\n\r\n".as_slice(),
            b"5\rhello\r\n0\r\n\r\n",
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\rx0\r\n\r\n",
            b"\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5 5\r\nhello\r\n0\r\n\r\n",
            b"10000000000000005\r\nhello\r\n0\r\n\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\na b: c\r\n\r\n",
            b"0\r\n\n",
            b"0\r\na: b\n\r\n",
            &long,
            many.as_bytes(),
        ] {
            for step in [1, 7, wire.len()] {
                let error = decoded(wire, step);
                assert_eq!(error.unwrap_err(), Malformed::Chunk, "{:?}", String::from_utf8_lossy(wire));
            }
        }
    }

    proptest! {
        #[test]
        fn any_body_comes_back(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..9),
            step in 1_usize..60,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
            }
            wire.extend(b"0\r\n\r\n");
            let (body, trailers, rest) = decoded(&wire, step).unwrap();
            prop_assert_eq!(body, chunks.concat());
            prop_assert!(trailers.is_empty() && rest.is_empty());
        }

        #[test]
        fn noise_is_an_error_and_no_panic(
            wire in prop::collection::vec(prop::sample::select(b"05aF;\r\n :x\xff".to_vec()), 0..40),
            step in 1_usize..9,
        ) {
            let _ = decoded(&wire, step);
        }
    }
}
