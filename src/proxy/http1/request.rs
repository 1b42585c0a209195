//! The head of a client's request, parsed strictly: what two servers could read differently is an error.

use super::error::MAX_FIELDS;
use super::fields::{self, Fields};
use super::framing::Framing;
use super::header_rules::options;
use super::syntax::{content_length, has_bare_line_end};
use crate::proxy::{Limits, LocalReply};
use bytes::Bytes;
use http::header::HeaderName;
use http::request::Parts;
use http::uri::InvalidUri;
use http::{HeaderValue, Method, Uri, Version};
use std::mem::MaybeUninit;

/// The size of a head without its target and fields: method, version, line ends.
const OTHER_BYTES: usize = 256;

/// What the head of a request says besides its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Received {
    /// Of the head, in bytes.
    pub(crate) length: usize,
    pub(crate) fields: Fields,
    pub(crate) framing: Framing,
    /// Whether the client keeps the connection open behind the response.
    pub(crate) keep_alive: bool,
    /// The client waits for a `100 Continue` before it sends its body.
    pub(crate) expects: bool,
}

/// Reads the head at the start of `input` into `parts`, which have no fields yet; `None` until it is whole.
///
/// An error is final: more input cannot mend it.
pub(crate) fn receive(input: &Bytes, limits: &Limits, parts: &mut Parts) -> Result<Option<Received>, LocalReply> {
    let max = limits.uri_bytes + limits.header_bytes + OTHER_BYTES;
    let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_request_with_uninit_headers(&mut request, input, &mut lines) {
        Ok(httparse::Status::Complete(length)) if length <= max => length,
        Ok(httparse::Status::Partial) if input.len() < max => return Ok(None),
        // The target is too long where not even the first line ends.
        Ok(_) if input[..max].contains(&b'\n') => return Err(LocalReply::HeadersTooLarge),
        Ok(_) => return Err(LocalReply::UriTooLong),
        Err(httparse::Error::TooManyHeaders) => return Err(LocalReply::HeadersTooLarge),
        Err(_) => return Err(LocalReply::Malformed),
    };
    if has_bare_line_end(&input[..length]) {
        return Err(LocalReply::Malformed);
    }
    let is_http_11 = request.version == Some(1);
    parts.version = if is_http_11 { Version::HTTP_11 } else { Version::HTTP_10 };
    parts.method = method(request.method.unwrap_or_default())?;
    parts.uri = uri(input, request.path.unwrap_or_default())?;
    parts.headers.reserve(request.headers.len());
    let mut hop = Hop::default();
    let mut fields = Fields::NONE;
    for line in &*request.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| LocalReply::Malformed)?;
        let group = fields::group(name.as_str());
        fields.add(group, line.name.len(), line.value.len());
        if group & HOP != 0 {
            hop.read(group, line.value)?;
        }
        let value = HeaderValue::from_maybe_shared(input.slice_ref(line.value)).map_err(|_| LocalReply::Malformed)?;
        parts.headers.append(name, value);
    }
    if hop.is_chunked && !is_http_11 {
        return Err(LocalReply::Malformed);
    }
    let framing = if hop.is_chunked { Framing::CHUNKED } else { Framing::Length(hop.length.unwrap_or(0)) };
    Ok(Some(Received {
        length,
        fields,
        framing,
        keep_alive: !hop.close && (is_http_11 || hop.keep_alive),
        expects: fields.has(fields::EXPECT) && is_http_11,
    }))
}

/// Whether a head ends in `input`, of which `seen` bytes have been searched before. Searching is much cheaper than
/// parsing, and a client may send byte by byte.
pub(crate) fn has_end(input: &[u8], seen: usize) -> bool {
    let recent = &input[seen.saturating_sub(3)..];
    recent.windows(2).any(|pair| pair == b"\n\n") || recent.windows(3).any(|three| three == b"\n\r\n")
}

fn method(name: &str) -> Result<Method, LocalReply> {
    Method::from_bytes(name.as_bytes()).map_err(|_| LocalReply::Malformed)
}

fn uri(input: &Bytes, target: &str) -> Result<Uri, LocalReply> {
    Uri::from_maybe_shared(input.slice_ref(target.as_bytes())).map_err(|error: InvalidUri| match error {
        _ if target.len() > usize::from(u16::MAX) - 1 => LocalReply::UriTooLong,
        _ => LocalReply::Malformed,
    })
}

/// Fields that say something about the connection or the body.
const HOP: u16 = fields::CONNECTION | fields::TRANSFER_ENCODING | fields::CONTENT_LENGTH;

#[derive(Default)]
struct Hop {
    length: Option<u64>,
    is_chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Hop {
    fn read(&mut self, group: u16, value: &[u8]) -> Result<(), LocalReply> {
        if group & fields::CONTENT_LENGTH != 0 {
            let length = content_length(value).ok_or(LocalReply::Malformed)?;
            if self.length.replace(length).is_some() {
                return Err(LocalReply::Malformed);
            }
        } else if group & fields::TRANSFER_ENCODING != 0 {
            // Which coding, and whether it is the only one, `validate` checks.
            self.is_chunked = true;
        } else {
            for option in options(value) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(input: &[u8]) -> Result<Option<(Received, Parts)>, LocalReply> {
        let mut parts = http::Request::new(()).into_parts().0;
        let received = receive(&Bytes::copy_from_slice(input), &Limits::default(), &mut parts)?;
        Ok(received.map(|received| (received, parts)))
    }

    /// The head of a POST with these field lines.
    fn post(fields: &str) -> Result<Received, LocalReply> {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let (received, _) = received(format!("{head}behind").as_bytes())?.expect("a whole head");
        assert_eq!(received.length, head.len());
        Ok(received)
    }

    #[test]
    fn a_head_is_whole_or_awaited_wherever_it_is_cut() {
        let head = b"\r\nGET /a?b HTTP/1.1\r\nHost: a\r\nX-Y:  z \r\nx-y: \x80\r\n\r\n";
        for cut in 0..head.len() {
            assert_eq!(received(&head[..cut]).map(|head| head.is_none()), Ok(true), "{cut}");
            assert!(!has_end(&head[..cut], 0), "{cut}");
            assert!(has_end(head, cut), "{cut}");
        }
        let (received, parts) = received(head).unwrap().unwrap();
        assert_eq!((received.length, received.framing, received.keep_alive), (head.len(), Framing::NONE, true));
        assert_eq!((parts.method, parts.uri.to_string().as_str()), (Method::GET, "/a?b"));
        let lines: Vec<_> = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(lines, [("host", &b"a"[..]), ("x-y", b"z"), ("x-y", b"\x80")]);
        assert_eq!(received.fields, Fields::of(&parts.headers));
    }

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        let framing = |fields: &str| post(fields).map(|head| head.framing);
        assert_eq!(framing(""), Ok(Framing::NONE));
        assert_eq!(framing("Content-Length: 7\r\n"), Ok(Framing::Length(7)));
        assert_eq!(framing("Transfer-Encoding: chunked\r\n"), Ok(Framing::CHUNKED));
        for value in ["", "+7", "-7", "7, 7", "7 7", "0x7", "7.0", "18446744073709551616"] {
            assert_eq!(framing(&format!("Content-Length: {value}\r\n")), Err(LocalReply::Malformed), "{value}");
        }
        for second in ["7", "8"] {
            let twice = format!("Content-Length: 7\r\ncontent-length: {second}\r\n");
            assert_eq!(framing(&twice), Err(LocalReply::Malformed));
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(received(old).unwrap_err(), LocalReply::Malformed);
    }

    #[test]
    fn a_connection_persists_where_version_and_fields_say_so() {
        let keeps = |version: &str, connection: &str| {
            let head = format!("GET / HTTP/{version}\r\nConnection: {connection}\r\n\r\n");
            received(head.as_bytes()).unwrap().unwrap().0.keep_alive
        };
        assert!(keeps("1.1", "") && keeps("1.1", "x, Keep-Alive") && keeps("1.0", "Keep-Alive"));
        assert!(!keeps("1.1", "x, Close") && !keeps("1.0", "") && !keeps("1.0", "keep-alive, close"));
    }

    #[test]
    fn lines_end_in_one_way_alone() {
        for head in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        ] {
            assert_eq!(received(head.as_bytes()).unwrap_err(), LocalReply::Malformed, "{}", head.escape_debug());
        }
    }

    #[test]
    fn what_is_too_long_is_told_apart() {
        let long = "x".repeat(32 * 1024);
        assert_eq!(received(format!("GET /{long}").as_bytes()).unwrap_err(), LocalReply::UriTooLong);
        assert_eq!(post(&format!("X: {long}\r\n")), Err(LocalReply::HeadersTooLarge));
        assert_eq!(
            received(format!("GET / HTTP/1.1\r\nX: {long}").as_bytes()).unwrap_err(),
            LocalReply::HeadersTooLarge
        );
        assert_eq!(post(&"X: y\r\n".repeat(MAX_FIELDS)), Err(LocalReply::HeadersTooLarge));
        assert!(post(&"X: y\r\n".repeat(MAX_FIELDS - 1)).is_ok());
    }
}
