//! The head of an upstream's response, kept as lines: hop-by-hop fields are removed, the rest stays as it was.

use super::error::{MAX_FIELDS, MAX_HEAD, Malformed};
use super::fields;
use super::framing::Framing;
use super::header_rules::{is_end_to_end, options};
use super::syntax::{content_length, line};
use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode};
use std::mem::MaybeUninit;

/// The head of a response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    /// The status line and the fields as they are written to a client of HTTP/1.1, without the empty line. Hop-by-hop
    /// fields and the body's length are left out.
    pub(crate) lines: Vec<u8>,
    /// The length of the body, or of what it would be in another response.
    pub(crate) length: Option<u64>,
    /// `Date` is among the fields.
    pub(crate) is_dated: bool,
    pub(crate) framing: Framing,
    /// Whether the upstream keeps the connection open behind it.
    pub(crate) keep_alive: bool,
    /// The protocol that the connection is upgraded to, if it is.
    pub(crate) protocol: Option<Bytes>,
}

/// Room for what the proxy adds, and for a small body behind it.
const ADDED: usize = 512;

/// What the hop-by-hop fields say.
#[derive(Default)]
struct Hop<'h> {
    length: Option<u64>,
    /// How many codings `Transfer-Encoding` names, and whether the last is `chunked`.
    codings: usize,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    named: Vec<&'h [u8]>,
    protocol: Option<&'h [u8]>,
}

impl ResponseHead {
    /// The head at the start of `input` and its length, once it is whole. `to_head` says that it answers a `HEAD`.
    pub(crate) fn parse(input: &Bytes, to_head: bool) -> Result<Option<(Self, usize)>, Malformed> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let length = match config.parse_response_with_uninit_headers(&mut response, input, &mut fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooLarge),
            Err(_) => return Err(Malformed::Head),
        };
        let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed::Head)?;
        let is_http_11 = response.version == Some(1);
        let mut lines = status_line(status, response.reason.unwrap_or_default(), length + ADDED);
        let (mut hop, mut is_dated, start) = (Hop::default(), false, lines.len());
        for field in &*response.headers {
            let group = fields::group_of(field.name.as_bytes());
            if group & HOP != 0 {
                hop.read(group, field.value)?;
                continue;
            }
            is_dated |= group & fields::DATE != 0;
            line(&mut lines, field.name, field.value);
        }
        if !hop.named.is_empty() {
            lines.truncate(start);
            is_dated = false;
            for field in &*response.headers {
                let group = fields::group_of(field.name.as_bytes());
                if group & HOP == 0 && !hop.names(field.name) {
                    is_dated |= group & fields::DATE != 0;
                    line(&mut lines, field.name, field.value);
                }
            }
        }
        let framing = hop.framing(status, to_head, is_http_11)?;
        let persists = if is_http_11 { !hop.close } else { hop.keep_alive && !hop.close };
        let head = Self {
            status,
            lines,
            // A coding overrides a length beside it, which would be wrong from here on.
            length: hop.length.filter(|_| hop.codings == 0),
            is_dated,
            framing,
            keep_alive: persists && framing != Framing::UntilClose,
            protocol: hop.protocol.map(|protocol| input.slice_ref(protocol)),
        };
        Ok(Some((head, length)))
    }
}

/// A status line, with room for `room` bytes in all.
pub(crate) fn status_line(status: StatusCode, reason: &str, room: usize) -> Vec<u8> {
    let mut lines = Vec::with_capacity(room);
    lines.extend_from_slice(b"HTTP/1.1 ");
    lines.extend_from_slice(status.as_str().as_bytes());
    lines.push(b' ');
    lines.extend_from_slice(reason.as_bytes());
    lines.extend_from_slice(b"\r\n");
    lines
}

/// The fields of lines that [`status_line`] begins.
pub(crate) fn fields_of(mut lines: Vec<u8>) -> HeaderMap {
    let start = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1);
    lines.extend_from_slice(b"\r\n");
    let lines = Bytes::from(lines).slice(start..);
    // The upstream's and ours.
    let mut fields = [httparse::EMPTY_HEADER; 2 * MAX_FIELDS];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&lines, &mut fields) else {
        return HeaderMap::new();
    };
    let mut headers = HeaderMap::with_capacity(fields.len() + 1);
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(lines.slice_ref(field.value))) {
            headers.append(name, value);
        }
    }
    headers
}

/// Fields that are interpreted.
const HOP: u16 = fields::CONNECTION | fields::HOP_BY_HOP | fields::PROXY_AUTHENTICATE | fields::CONTENT_LENGTH;

impl<'h> Hop<'h> {
    /// Notes a field of [`HOP`].
    fn read(&mut self, group: u16, value: &'h [u8]) -> Result<(), Malformed> {
        if group & fields::CONTENT_LENGTH != 0 {
            let length = content_length(value).ok_or(Malformed::Length)?;
            if self.length.replace(length).is_some_and(|known| known != length) {
                return Err(Malformed::Length);
            }
        } else if group & fields::CONNECTION != 0 {
            for option in options(value) {
                match option {
                    _ if option.eq_ignore_ascii_case(b"close") => self.close = true,
                    _ if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                    _ => self.named.push(option),
                }
            }
        } else if group & fields::TRANSFER_ENCODING != 0 {
            self.codings += options(value).count().max(1);
            self.chunked = value.eq_ignore_ascii_case(b"chunked");
        } else if group & fields::UPGRADE != 0 {
            self.protocol = Some(value);
        }
        Ok(())
    }

    /// Whether `Connection` declares the field hop-by-hop.
    fn names(&self, name: &str) -> bool {
        let mut named = self.named.iter();
        named.any(|named| name.as_bytes().eq_ignore_ascii_case(named))
            && HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| !is_end_to_end(&name))
    }

    /// RFC 9112, section 6.3. Only `chunked` is decoded here, so no other coding can be passed on.
    fn framing(&self, status: StatusCode, to_head: bool, is_http_11: bool) -> Result<Framing, Malformed> {
        if self.codings > 0 && !(self.codings == 1 && self.chunked && is_http_11) {
            return Err(Malformed::Length);
        }
        let bodiless =
            to_head || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match self.length {
            _ if bodiless => Framing::NONE,
            _ if self.codings > 0 => Framing::CHUNKED,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Option<(ResponseHead, usize)>, Malformed> {
        ResponseHead::parse(&Bytes::copy_from_slice(head.as_bytes()), false)
    }

    /// The head of a 200 with these fields, which have no line ends of their own.
    fn head(version: &str, fields: &[&str]) -> Result<ResponseHead, Malformed> {
        let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let text = format!("HTTP/{version} 200 OK\r\n{lines}\r\n");
        let (head, length) = parse(&text)?.expect("a whole head");
        assert_eq!(length, text.len());
        Ok(head)
    }

    #[test]
    fn a_body_ends_where_rfc_9112_says() {
        let framing = |version, fields: &[&str]| head(version, fields).map(|head| head.framing);
        assert_eq!(framing("1.1", &["Content-Length: 7"]), Ok(Framing::Length(7)));
        assert_eq!(framing("1.1", &["Content-Length: 7", "content-length: 7"]), Ok(Framing::Length(7)));
        assert_eq!(framing("1.1", &[]), Ok(Framing::UntilClose));
        assert_eq!(framing("1.0", &[]), Ok(Framing::UntilClose));
        assert_eq!(framing("1.1", &["Transfer-Encoding: Chunked"]), Ok(Framing::CHUNKED));
        assert_eq!(framing("1.1", &["Transfer-Encoding: chunked", "Content-Length: 7"]), Ok(Framing::CHUNKED));
        for fields in [
            ["Content-Length: 7", "Content-Length: 8"],
            ["Content-Length: 7, 7", "A: b"],
            ["Content-Length: +7", "A: b"],
            ["Content-Length:", "A: b"],
            ["Content-Length: 18446744073709551616", "A: b"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: gzip, chunked", "A: b"],
            ["Transfer-Encoding: gzip", "Content-Length: 7"],
            ["Transfer-Encoding:", "Content-Length: 7"],
        ] {
            assert_eq!(framing("1.1", &fields), Err(Malformed::Length), "{fields:?}");
        }
        assert_eq!(framing("1.0", &["Transfer-Encoding: chunked"]), Err(Malformed::Length));
    }

    #[test]
    fn some_responses_have_no_body_whatever_they_say() {
        let text = |status| format!("HTTP/1.1 {status} x\r\nContent-Length: 7\r\n\r\n");
        let framing = |text: &str, to_head| {
            ResponseHead::parse(&Bytes::copy_from_slice(text.as_bytes()), to_head).unwrap().unwrap().0.framing
        };
        for status in [100, 101, 103, 204, 304] {
            assert_eq!(framing(&text(status), false), Framing::NONE, "{status}");
        }
        assert_eq!(framing(&text(200), true), Framing::NONE);
        assert_eq!(framing(&text(205), false), Framing::Length(7));
    }

    #[test]
    fn a_connection_persists_where_both_its_version_and_its_fields_say_so() {
        let persists = |version, connection: &str| {
            head(version, &["Content-Length: 0", &format!("Connection: {connection}")]).unwrap().keep_alive
        };
        assert!(persists("1.1", "") && persists("1.1", "keep-alive") && persists("1.0", "Keep-Alive"));
        assert!(!persists("1.1", "x, Close") && !persists("1.0", "") && !persists("1.0", "keep-alive, close"));
        assert!(!head("1.1", &["Connection: keep-alive"]).unwrap().keep_alive, "only a close ends its body");
    }

    #[test]
    fn what_was_for_this_hop_stays_here() {
        let fields = [
            "Connection: x-hop, content-type, keep-alive",
            "Keep-Alive: timeout=5",
            "X-Hop: 1",
            "Content-Type: text/plain",
            "Proxy-Authenticate: Basic",
            "Proxy-Connection: close",
            "Upgrade: h2c",
            "Set-Cookie: a=1",
            "set-cookie: b=2",
        ];
        let head = head("1.1", &fields).unwrap();
        let headers = fields_of(head.lines);
        let mut left: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("content-type", "text/plain"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]);
        assert_eq!(head.protocol.unwrap(), "h2c");
        assert_eq!(head.length, None);
    }

    #[test]
    fn a_head_is_whole_or_awaited_or_refused() {
        let text = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for cut in 0..text.len() {
            assert!(parse(&text[..cut]).unwrap().is_none(), "{cut}");
        }
        for noise in
            ["SSH-2.0-x\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 200 OK\r\na b: c\r\n\r\n"]
        {
            assert_eq!(parse(noise).unwrap_err(), Malformed::Head, "{noise}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(MAX_HEAD));
        assert_eq!(parse(&long).unwrap_err(), Malformed::TooLarge);
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(parse(&many).unwrap_err(), Malformed::TooLarge);
    }
}
