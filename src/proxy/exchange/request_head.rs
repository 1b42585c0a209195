//! Writes the head of a request as its upstream gets it: the client's fields without those for one hop only, and then
//! ours.
//!
//! The head is written once, from the client's fields straight into the bytes that are sent, and sent again as it is.

use super::client::Client;
use crate::http::Stripped;
use crate::http::cookie::strip;
use crate::http::header_map::{cookie_line, values};
use crate::proxy::http1::fields::{self, Fields};
use crate::proxy::http1::header_rules::{accepts_trailers, is_alias, is_end_to_end, named_by_connection, via};
use crate::proxy::http1::{Length, line};
use http::header::{FORWARDED, HOST, HeaderName, TE};
use http::{HeaderMap, HeaderValue, request};

/// What our fields add to a head besides what depends on the client's address and host.
const ADDED: usize = 256;

/// Fields that are never passed on, and those that are written in a place of their own.
const LEFT_OUT: u16 = fields::CONNECTION
    | fields::HOP_BY_HOP
    | fields::TE
    | fields::REQUEST_ONLY
    | fields::HOST
    | fields::CONTENT_LENGTH
    | fields::COOKIE;

/// Writes the head. `protocol` is what the client asks to upgrade to, if it may; `address` is the `Host` for a client
/// that sent none, as HTTP/1.0 allows.
pub(crate) fn request_head(
    parts: &request::Parts,
    present: Fields,
    client: &Client,
    protocol: Option<&HeaderValue>,
    length: Length,
    address: &str,
) -> Vec<u8> {
    let headers = &parts.headers;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let host = headers.get(HOST);
    let mut head = Vec::with_capacity(parts.method.as_str().len() + target.len() + present.bytes + ADDED);
    head.extend_from_slice(parts.method.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(target.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    line(&mut head, "host", host.map_or(address.as_bytes(), HeaderValue::as_bytes));

    let trusted = client.peer_is_trusted();
    let left_out = LEFT_OUT | if trusted { fields::FORWARDED } else { fields::FORWARDED | fields::ORIGIN };
    let named = if present.has(fields::CONNECTION) { named_by_connection(headers) } else { Vec::new() };
    for (name, value) in headers {
        let group = fields::group(name.as_str());
        let is_left_out = group & left_out != 0
            || (group & fields::UNDERSCORE != 0 && is_alias(name))
            || (named.iter().any(|named| name.as_str().as_bytes().eq_ignore_ascii_case(named)) && !is_end_to_end(name));
        if !is_left_out {
            line(&mut head, name.as_str(), value.as_bytes());
        }
    }

    if let Some(protocol) = protocol {
        line(&mut head, "connection", b"upgrade");
        line(&mut head, "upgrade", protocol.as_bytes());
    } else if present.has(fields::TE) && values(headers, &TE).any(accepts_trailers) {
        line(&mut head, "te", b"trailers");
    }
    line(&mut head, "via", via(parts.version).as_bytes());
    if trusted && present.has(fields::FORWARDED | fields::ORIGIN) {
        forwarded(&mut head, headers, client);
    } else {
        client.write_forwarding_headers(host, &mut head);
    }
    if present.has(fields::COOKIE) {
        cookies(&mut head, headers, client);
    }
    match length {
        Length::None => {}
        Length::Exact(length) => line(&mut head, "content-length", itoa::Buffer::new().format(length).as_bytes()),
        Length::Chunked => line(&mut head, "transfer-encoding", b"chunked"),
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// What trusted proxies say of the client, and this hop behind them.
fn forwarded(head: &mut Vec<u8>, headers: &HeaderMap, client: &Client) {
    const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    let host = headers.get(HOST);
    let hop = client.hop(host);
    let mut value = Vec::with_capacity(128);
    hop.write_x_forwarded_for(values(headers, &X_FORWARDED_FOR), &mut value);
    line(head, "x-forwarded-for", &value);
    value.clear();
    hop.write_forwarded(values(headers, &FORWARDED), &mut value);
    line(head, "forwarded", &value);
    if !headers.contains_key("x-forwarded-proto") {
        line(head, "x-forwarded-proto", client.scheme().as_bytes());
    }
    if let Some(host) = host.filter(|_| !headers.contains_key("x-forwarded-host")) {
        line(head, "x-forwarded-host", host.as_bytes());
    }
}

/// The client's cookies without ours, in one line: HTTP/2 may have split it, HTTP/1.1 has only one (RFC 9113, section
/// 8.2.3).
fn cookies(head: &mut Vec<u8>, headers: &HeaderMap, client: &Client) {
    let cookies = cookie_line(headers);
    let stripped = client.cookie_name().map_or(Stripped::Unchanged, |name| strip(&cookies, name));
    match stripped {
        Stripped::Unchanged => line(head, "cookie", &cookies),
        Stripped::Rest(rest) => line(head, "cookie", &rest),
        Stripped::Empty => {}
    }
}
