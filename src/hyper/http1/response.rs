//! The head of an upstream's response, read into the fields that travel on.

use super::super::fields;
use super::super::headers::{is_end_to_end, options};
use super::{Framing, MAX_FIELDS, MAX_HEAD, Malformed};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::mem::MaybeUninit;

/// The head of a response.
#[derive(Debug)]
pub(in super::super) struct ResponseHead {
    pub(in super::super) status: StatusCode,
    /// Its fields without those that were for this hop.
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) framing: Framing,
    /// Whether the upstream keeps the connection open behind it.
    pub(in super::super) keep_alive: bool,
    /// What the connection is changed to, where it is.
    pub(in super::super) protocol: Option<HeaderValue>,
}

/// Room for what the proxy adds: `Via`, a cookie, and the date that hyper sets.
const ADDED: usize = 3;

/// What the fields for this hop say.
#[derive(Default)]
struct Hop {
    length: Option<u64>,
    /// How many codings `Transfer-Encoding` names, and whether the last is `chunked`.
    codings: usize,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    named: Vec<HeaderName>,
    protocol: Option<HeaderValue>,
}

impl ResponseHead {
    /// The head at the start of `input` and its length, once it is whole. `to_head` says that it answers a `HEAD`.
    pub(in super::super) fn parse(input: &Bytes, to_head: bool) -> Result<Option<(Self, usize)>, Malformed> {
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
        let mut headers = HeaderMap::with_capacity(response.headers.len() + ADDED);
        let mut hop = Hop::default();
        for field in &*response.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed::Head)?;
            let group = fields::group(name.as_str());
            if group & HOP != 0 && hop.read(group, field.value, input)? {
                continue;
            }
            let value = HeaderValue::from_maybe_shared(input.slice_ref(field.value)).map_err(|_| Malformed::Head)?;
            headers.append(name, value);
        }
        for name in hop.named.iter().filter(|name| !is_end_to_end(name)) {
            headers.remove(name);
        }
        let framing = hop.framing(status, to_head, is_http_11)?;
        if hop.codings > 0 {
            // It overrides a length beside it, which would be wrong from here on.
            headers.remove(CONTENT_LENGTH);
        }
        let persists = if is_http_11 { !hop.close } else { hop.keep_alive && !hop.close };
        let keep_alive = persists && framing != Framing::UntilClose;
        Ok(Some((Self { status, headers, framing, keep_alive, protocol: hop.protocol }, length)))
    }
}

/// Fields that need a look.
const HOP: u16 = fields::CONNECTION | fields::HOP_BY_HOP | fields::PROXY_AUTHENTICATE | fields::CONTENT_LENGTH;

impl Hop {
    /// Notes a field of [`HOP`]. True if that was all, and it does not travel on.
    fn read(&mut self, group: u16, value: &[u8], input: &Bytes) -> Result<bool, Malformed> {
        if group & fields::CONTENT_LENGTH != 0 {
            let length = length(value)?;
            return match self.length.replace(length) {
                None => Ok(false),
                Some(known) if known == length => Ok(true),
                Some(_) => Err(Malformed::Length),
            };
        }
        if group & fields::CONNECTION != 0 {
            for option in options(value) {
                match option {
                    _ if option.eq_ignore_ascii_case(b"close") => self.close = true,
                    _ if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                    _ => self.named.extend(HeaderName::from_bytes(option)),
                }
            }
        } else if group & fields::TRANSFER_ENCODING != 0 {
            self.codings += options(value).count().max(1);
            self.chunked = value.eq_ignore_ascii_case(b"chunked");
        } else if group & fields::UPGRADE != 0 {
            self.protocol = HeaderValue::from_maybe_shared(input.slice_ref(value)).ok();
        }
        Ok(true)
    }

    /// RFC 9112, section 6.3. Only `chunked` is undone on the way, so nothing else can be passed on as what it is.
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

fn length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|value| value.parse().ok());
    number.ok_or(Malformed::Length)
}
