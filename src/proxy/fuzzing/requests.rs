//! Any bytes as a request, against a reader that takes a head apart at its line ends. What is refused is refused;
//! what is taken has to be what that reader sees, and the same however it is cut.
//!
//! The first byte of an input says in pieces of how many bytes the rest comes.

use super::{MAX_INPUT, naive_chunks, naive_trailers};
use crate::proxy::exchange::body_channel::BodyChannel;
use crate::proxy::exchange::validate::validate;
use crate::proxy::http1::{Framing, Malformed, has_end, receive};
use crate::proxy::upstream::error::UploadError;
use crate::proxy::{Limits, LocalReply};
use bytes::Bytes;
use http::{HeaderMap, Request};
use std::task::Poll;

/// Where the body of a request with these fields ends, or that it is ambiguous.
type Rule = fn(&NaiveRequest<'_>) -> Option<Framing>;

/// Panics where the reader of requests does, where what it reads depends on how the bytes come, or where it is not what
/// the standard says.
pub fn check(data: &[u8]) {
    check_against(data, rfc_9112);
}

fn check_against(data: &[u8], rule: Rule) {
    let [step, wire @ ..] = data else { return };
    if wire.len() > MAX_INPUT {
        return;
    }
    let read = read(wire, wire.len());
    assert_eq!(read, self::read(wire, usize::from(*step)), "in pieces of {step} bytes");
    let Some(read) = read else { return };

    let naive = NaiveRequest::read(&wire[..read.head]);
    assert_eq!((naive.method, naive.version), (read.method.as_bytes(), read.version.as_bytes()));
    assert_eq!(Some(read.framing), rule(&naive), "{}", wire.escape_ascii());
    let names = |name: &str| naive.values(name).len();
    assert_eq!(read.headers.len(), naive.fields.len(), "{}", wire.escape_ascii());
    assert!(names("host") == 1 || (naive.version == b"HTTP/1.0" && names("host") == 0), "{}", wire.escape_ascii());

    let rest = &wire[read.head..];
    let body = match read.framing {
        Framing::Length(length) => match usize::try_from(length).ok().and_then(|at| rest.split_at_checked(at)) {
            Some((body, rest)) => Ok((body.to_vec(), rest.to_vec())),
            None => Err(Malformed::Incomplete),
        },
        Framing::Chunked(_) => match naive_chunks(rest) {
            // The grammar of trailers is httparse's, and not known here.
            Ok((_, trailers)) if !trailers.starts_with(b"\r\n") && read.body == Err(Malformed::Chunk) => return,
            Ok((body, trailers)) => naive_trailers(trailers).map(|rest| (body, rest.to_vec())),
            Err(error) => Err(error),
        },
        Framing::UntilClose => unreachable!("no request ends so"),
    };
    assert_eq!(read.body, body, "{}", wire.escape_ascii());
}

/// What was read of a request.
#[derive(PartialEq, Eq, Debug)]
struct Read {
    head: usize,
    method: String,
    version: String,
    headers: HeaderMap,
    framing: Framing,
    /// The body, and what came after it.
    body: Result<(Vec<u8>, Vec<u8>), Malformed>,
}

/// Reads `wire` as it comes in pieces of `step` bytes; `None` where there is no whole head, or one that is refused.
fn read(wire: &[u8], step: usize) -> Option<Read> {
    let limits = Limits::default();
    let mut pieces = wire.chunks(step.max(1));
    let mut input = Bytes::new();
    let mut parts = Request::new(()).into_parts().0;
    let received = loop {
        let seen = input.len();
        input = [&input, pieces.next()?].concat().into();
        let received = receive(&input, &limits, &mut parts);
        // Looking for the end may not miss it. Before it, only what was refused already can be refused.
        let found = has_end(&input, seen);
        match received {
            Ok(Some(received)) => {
                assert!(found || seen == 0, "{}", input.escape_ascii());
                break received;
            }
            Ok(None) => parts.headers.clear(),
            Err(LocalReply::Malformed | LocalReply::HeadersTooLarge | LocalReply::UriTooLong) => return None,
            Err(refusal) => panic!("{refusal}"),
        }
    };
    validate(&mut parts, received.fields, &limits).ok()?;
    let channel = BodyChannel::new(input.slice(received.length..), received.framing);
    let body = body(&channel, &mut pieces).map(|body| {
        let left = std::mem::take(&mut channel.lock().input);
        (body, left.iter().chain(pieces.flatten()).copied().collect())
    });
    Some(Read {
        head: received.length,
        method: parts.method.as_str().to_owned(),
        version: format!("{:?}", parts.version),
        headers: parts.headers,
        framing: received.framing,
        body,
    })
}

fn body<'w>(channel: &BodyChannel, pieces: &mut impl Iterator<Item = &'w [u8]>) -> Result<Vec<u8>, Malformed> {
    let mut body = Vec::new();
    loop {
        match channel.poll_frame() {
            Poll::Ready(None) => return Ok(body),
            Poll::Ready(Some(Ok(frame))) => body.extend(frame.into_data().unwrap_or_default()),
            Poll::Ready(Some(Err(UploadError::Malformed(error)))) => return Err(error),
            Poll::Ready(Some(Err(error))) => panic!("{error}"),
            Poll::Pending => {
                let mut channel = channel.lock();
                assert!(channel.is_wanted);
                let more = pieces.next().ok_or(Malformed::Incomplete)?;
                channel.input = [&channel.input, more].concat().into();
            }
        }
    }
}

/// A head taken apart at its line ends and colons.
struct NaiveRequest<'w> {
    method: &'w [u8],
    version: &'w [u8],
    /// Names in lower case, values without blanks around them.
    fields: Vec<(Vec<u8>, &'w [u8])>,
}

impl<'w> NaiveRequest<'w> {
    fn read(head: &'w [u8]) -> Self {
        let lines = head.split_inclusive(|byte| *byte == b'\n').map(|line| {
            line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("{} ends in another way", line.escape_ascii()))
        });
        let mut lines = lines.filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let mut words = first.split(|byte| *byte == b' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        assert!(target.is_some_and(|target| !target.is_empty()) && words.next().is_none(), "{}", first.escape_ascii());
        let fields = lines.map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or_else(|| panic!("{}", line.escape_ascii()));
            (line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii())
        });
        Self { method: method.unwrap_or_default(), version: version.unwrap_or_default(), fields: fields.collect() }
    }

    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(found, _)| found == name.as_bytes()).map(|(_, value)| *value).collect()
    }
}

/// RFC 9112, section 6.3, and nothing that it leaves open.
fn rfc_9112(head: &NaiveRequest<'_>) -> Option<Framing> {
    match (&head.values("transfer-encoding")[..], &head.values("content-length")[..]) {
        ([], []) => Some(Framing::NONE),
        ([], [length]) => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(length).ok().filter(|_| digits)?.parse();
            number.ok().map(Framing::Length)
        }
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") && head.version == b"HTTP/1.1" => {
            Some(Framing::CHUNKED)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::corpus;
    use super::*;

    #[test]
    fn the_corpus_is_read_as_the_standard_says() {
        let corpus = corpus("requests");
        let read = |data: &[u8]| data.split_first().and_then(|(_, wire)| read(wire, wire.len()));
        let taken = corpus.iter().filter(|(_, data)| read(data).is_some_and(|read| read.body.is_ok())).count();
        assert!(taken > 10, "the corpus is there");
        for (path, data) in corpus {
            println!("{}", path.display());
            check(&data);
            for step in 1..=64 {
                check(&[&[step], data.get(1..).unwrap_or_default()].concat());
            }
        }
    }

    /// What was found in responses is no request, and nothing worse.
    #[test]
    fn the_corpus_of_responses_does_no_harm() {
        for (_, data) in corpus("http1") {
            check(&data);
        }
    }

    /// The control: a rule that does not know chunks is caught by the corpus.
    #[test]
    fn a_rule_without_chunks_is_caught() {
        let wrong: Rule = |head| match head.values("transfer-encoding")[..] {
            [_] => Some(Framing::NONE),
            _ => rfc_9112(head),
        };
        let caught = |(_, data): &(_, Vec<u8>)| std::panic::catch_unwind(|| check_against(data, wrong)).is_err();
        assert!(corpus("requests").iter().any(caught));
    }
}
