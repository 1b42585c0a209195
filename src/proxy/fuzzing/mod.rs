//! Any bytes as a response, against a reader that sees them whole and knows no tricks. For `fuzz/`, and for the tests
//! below, which replay what was found there.
//!
//! The first byte of an input says whether it answers a `HEAD`, the second in pieces of how many bytes the rest comes.

pub mod requests;

use crate::proxy::http1::{Framing, Malformed, Piece, ResponseHead, fields_of};
use bytes::Bytes;
use http::HeaderMap;

/// Longer inputs run into limits that depend on how they are cut.
const MAX_INPUT: usize = 4096;

/// Where a body ends, or that its length is ambiguous.
type Rule = fn(&NaiveHead, bool) -> Result<Framing, Malformed>;

/// Panics where the reader of responses does, where what it reads depends on how the bytes come, or where it is not
/// what the standard says.
pub fn check(data: &[u8]) {
    check_against(data, rfc_9112);
}

fn check_against(data: &[u8], rule: Rule) {
    let [options, step, wire @ ..] = data else { return };
    let to_head = options & 1 == 1;
    if wire.len() > MAX_INPUT {
        return;
    }
    let read = read(wire, to_head, wire.len());
    assert_eq!(read, self::read(wire, to_head, usize::from(*step)), "in pieces of {step} bytes");

    let parsed = ResponseHead::parse(&Bytes::copy_from_slice(wire), to_head);
    if !matches!(parsed, Ok(Some(_)) | Err(Malformed::Length)) {
        assert!(read.is_err());
        return;
    }
    let naive = NaiveHead::read(wire);
    let framing = rule(&naive, to_head);
    let parsed = parsed.map(|head| head.map(|(head, length)| (u16::from(head.status), head.framing, length)));
    let expected = framing.map(|framing| Some((naive.status, framing, naive.length)));
    assert_eq!(parsed, expected, "{}", wire.escape_ascii());
    let Ok(framing) = framing else { return };

    if let Ok(read) = &read {
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            assert!(!read.headers.contains_key(name), "{name} travels on");
        }
    }
    let rest = &wire[naive.length..];
    let body = match framing {
        Framing::Length(length) => match usize::try_from(length).ok().and_then(|at| rest.split_at_checked(at)) {
            Some((body, rest)) => Ok((body.to_vec(), rest.to_vec())),
            None => Err(Malformed::Incomplete),
        },
        Framing::Chunked(_) => match naive_chunks(rest) {
            // The grammar of trailers is httparse's, and not known here.
            Ok((_, trailers)) if !trailers.starts_with(b"\r\n") && read == Err(Malformed::Chunk) => return,
            Ok((body, trailers)) => naive_trailers(trailers).map(|rest| (body, rest.to_vec())),
            Err(error) => Err(error),
        },
        Framing::UntilClose => Ok((rest.to_vec(), Vec::new())),
    };
    assert_eq!(read.map(|read| (read.body, read.rest)), body, "{}", wire.escape_ascii());
}

/// What was read of a response.
#[derive(PartialEq, Eq, Debug)]
struct Exchange {
    headers: HeaderMap,
    keep_alive: bool,
    body: Vec<u8>,
    trailers: HeaderMap,
    /// What came after it.
    rest: Vec<u8>,
}

/// Reads `wire` as it comes in pieces of `step` bytes, until it is closed.
fn read(wire: &[u8], to_head: bool, step: usize) -> Result<Exchange, Malformed> {
    let mut pieces = wire.chunks(step.max(1));
    let mut input = Bytes::new();
    let (mut head, length) = loop {
        match ResponseHead::parse(&input, to_head)? {
            Some(whole) => break whole,
            None => input = [&input, pieces.next().ok_or(Malformed::Incomplete)?].concat().into(),
        }
    };
    input = input.slice(length..);
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    loop {
        match head.framing.decode(&mut input)? {
            Piece::Data(data) => body.extend_from_slice(&data),
            Piece::Trailers(fields) => trailers = fields,
            Piece::End => break,
            Piece::Starved => match pieces.next() {
                Some(more) => input = [&input, more].concat().into(),
                None => head.framing.close()?,
            },
        }
    }
    let rest = input.iter().chain(pieces.flatten()).copied().collect();
    Ok(Exchange { headers: fields_of(head.lines), keep_alive: head.keep_alive, body, trailers, rest })
}

/// A head taken apart at its line ends and colons.
struct NaiveHead {
    is_http_11: bool,
    status: u16,
    /// Names in lower case, values without blanks around them.
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    length: usize,
}

impl NaiveHead {
    fn read(wire: &[u8]) -> Self {
        let mut length = 0;
        let mut lines = wire.split_inclusive(|byte| *byte == b'\n').map(|line| {
            length += line.len();
            line.trim_ascii_end()
        });
        let status_line = lines.find(|line| !line.is_empty()).unwrap_or_default();
        let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        let fields = lines.take_while(|line| !line.is_empty()).map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            (line[..colon].to_ascii_lowercase(), line.get(colon + 1..).unwrap_or_default().trim_ascii().to_vec())
        });
        let fields = fields.collect();
        Self { is_http_11: status_line[7] == b'1', status: number(&status_line[9..12]), fields, length }
    }

    fn values(&self, name: &[u8]) -> Vec<&[u8]> {
        self.fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_slice()).collect()
    }
}

/// RFC 9112, section 6.3, and no coding but `chunked` alone.
fn rfc_9112(head: &NaiveHead, to_head: bool) -> Result<Framing, Malformed> {
    let codings = head.values(b"transfer-encoding");
    let chunked = codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked") && head.is_http_11;
    let lengths = head.values(b"content-length");
    let number = |text: &[u8]| {
        let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(text).ok().filter(|_| digits)?.parse::<u64>().ok()
    };
    let numbers: Option<Vec<u64>> = lengths.into_iter().map(number).collect();
    let numbers = numbers.ok_or(Malformed::Length)?;
    if numbers.windows(2).any(|pair| pair[0] != pair[1]) || !(chunked || codings.is_empty()) {
        return Err(Malformed::Length);
    }
    Ok(match numbers.first() {
        _ if to_head || matches!(head.status, 100..200 | 204 | 304) => Framing::NONE,
        _ if chunked => Framing::CHUNKED,
        Some(length) => Framing::Length(*length),
        None => Framing::UntilClose,
    })
}

/// RFC 9112, section 7.1: the body, and what comes after the line of the last chunk.
fn naive_chunks(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let mut body = Vec::new();
    loop {
        let end = rest.iter().position(|byte| b"\r\n".contains(byte)).ok_or(Malformed::Incomplete)?;
        let (line, after) = rest.split_at(end);
        rest = line_end(after)?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
        if !(1..=16).contains(&size.len()) || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(Malformed::Chunk);
        }
        let size = size.iter().fold(0, |sum, digit| sum << 4 | u64::from((*digit as char).to_digit(16).unwrap_or(0)));
        if size == 0 {
            return Ok((body, rest));
        }
        let size = usize::try_from(size).map_err(|_| Malformed::Incomplete)?;
        let (chunk, after) = rest.split_at_checked(size).ok_or(Malformed::Incomplete)?;
        body.extend_from_slice(chunk);
        rest = line_end(after)?;
    }
}

/// What comes after the first empty line.
fn naive_trailers(mut rest: &[u8]) -> Result<&[u8], Malformed> {
    let mut is_bare = false;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Malformed::Incomplete)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        is_bare |= !line.ends_with(b"\r");
        if matches!(line, [] | [b'\r']) {
            return if is_bare { Err(Malformed::Chunk) } else { Ok(rest) };
        }
    }
}

fn line_end(rest: &[u8]) -> Result<&[u8], Malformed> {
    match rest {
        [b'\r', b'\n', rest @ ..] => Ok(rest),
        [] | [b'\r'] => Err(Malformed::Incomplete),
        _ => Err(Malformed::Chunk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// What the fuzzer found, by file.
    pub(super) fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }

    #[test]
    fn the_corpus_is_read_as_the_standard_says() {
        let corpus = corpus("http1");
        assert!(corpus.len() > 20, "the corpus is there");
        for (path, data) in corpus {
            println!("{}", path.display());
            check(&data);
        }
    }

    /// The control: a rule that smuggles is caught by the corpus.
    #[test]
    fn a_length_that_wins_over_chunks_is_caught() {
        let wrong: Rule = |head, to_head| match head.values(b"content-length")[..] {
            [length] if !to_head && !head.values(b"transfer-encoding").is_empty() => {
                Ok(Framing::Length(length.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))))
            }
            _ => rfc_9112(head, to_head),
        };
        let caught = |(_, data): &(_, Vec<u8>)| std::panic::catch_unwind(|| check_against(data, wrong)).is_err();
        assert!(corpus("http1").iter().any(caught));
    }
}
