//! Which header fields travel on, in which order they are treated: first the hop-by-hop ones go, then ours come.

use super::check::{connection_has, connection_options};
use super::client::Client;
use crate::http::cookie::strip;
use crate::http::{CookieName, Hop, Stripped};
use bytes::Bytes;
use http::header::{
    CONNECTION, COOKIE, EXPECT, Entry, FORWARDED, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Version, request};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
/// CGI programs would take it for their `HTTP_PROXY` variable ("httpoxy").
const PROXY: HeaderName = HeaderName::from_static("proxy");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The fields that the proxy speaks for. Nobody else may name them, also not with `_` for `-`, which CGI and WSGI
/// programs could not tell apart.
const OURS: [HeaderName; 6] =
    [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, VIA, HeaderName::from_static("x-real-ip")];

/// The name by which this proxy is known in `Via`.
const VIA_US: HeaderValue = HeaderValue::from_static("1.1 homing");

/// Whether the client asks to leave HTTP on this connection, for a protocol that a tunnel can carry. `h2c` is not
/// one: its frames would reach the upstream past every rule here.
pub(super) fn wants_upgrade(parts: &request::Parts) -> bool {
    let mut protocols = parts.headers.get_all(UPGRADE).iter();
    parts.version == Version::HTTP_11
        && connection_has(&parts.headers, "upgrade")
        && match (protocols.next(), protocols.next()) {
            (Some(protocol), None) => {
                let protocol = protocol.as_bytes();
                !protocol.is_empty() && !protocol.contains(&b',') && !protocol.eq_ignore_ascii_case(b"h2c")
            }
            _ => false,
        }
}

/// Makes the client's fields the upstream's.
pub(super) fn prepare_request(parts: &mut request::Parts, client: &Client, upgrade: bool) {
    let headers = &mut parts.headers;
    let protocol = if upgrade { headers.get(UPGRADE).cloned() } else { None };
    let trailers = headers.get_all(TE).iter().any(|te| accepts_trailers(te.as_bytes()));
    remove_hop_by_hop(headers);
    for name in [TE, EXPECT, HTTP2_SETTINGS, PROXY_AUTHORIZATION, PROXY] {
        headers.remove(name);
    }
    remove_aliases(headers);

    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    } else if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    forwarded(headers, client);
    if let Some(name) = client.cookie_name() {
        strip_cookie(headers, name);
    }
    parts.version = Version::HTTP_11;
}

/// Makes the upstream's fields the client's.
pub(super) fn prepare_response(headers: &mut HeaderMap, upgraded: bool) {
    let protocol = if upgraded { headers.get(UPGRADE).cloned() } else { None };
    remove_hop_by_hop(headers);
    headers.remove(PROXY_AUTHENTICATE);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    headers.append(VIA, VIA_US);
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = connection_options(headers)
            .filter_map(|option| HeaderName::from_bytes(option).ok())
            .filter(|name| headers.contains_key(name) && !is_end_to_end(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// What `Connection` cannot take away: a client that could would talk to the upstream in the proxy's name, or
/// around its checks.
fn is_end_to_end(name: &HeaderName) -> bool {
    *name == HOST || *name == COOKIE || name.as_str().starts_with("content-") || OURS.contains(name)
}

fn remove_aliases(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| name.as_str().contains('_')) {
        return;
    }
    let aliases: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .filter(|name| {
            let dashed = name.as_str().replace('_', "-");
            OURS.iter().any(|ours| ours.as_str() == dashed)
        })
        .cloned()
        .collect();
    for name in aliases {
        headers.remove(name);
    }
}

/// A `TE` list that has `trailers`, the one member that says something about us and not only about the next hop.
fn accepts_trailers(te: &[u8]) -> bool {
    te.split(|byte| *byte == b',').any(|member| {
        let coding = member.split(|byte| *byte == b';').next().unwrap_or_default();
        coding.trim_ascii().eq_ignore_ascii_case(b"trailers")
    })
}

fn forwarded(headers: &mut HeaderMap, client: &Client) {
    let trusted = client.peer_is_trusted();
    let mut buffer = Vec::with_capacity(128);
    let host = headers.get(HOST).cloned();
    let hop = Hop {
        peer: client.peer().ip(),
        peer_trusted: trusted,
        https: client.is_https(),
        host: host.as_ref().map(HeaderValue::as_bytes),
    };
    hop.write_x_forwarded_for(lines(headers, &X_FORWARDED_FOR), &mut buffer);
    set(headers, X_FORWARDED_FOR, &mut buffer);
    hop.write_forwarded(lines(headers, &FORWARDED), &mut buffer);
    set(headers, FORWARDED, &mut buffer);
    if !trusted {
        headers.remove(&OURS[5]);
    }
    if !(trusted && headers.contains_key(X_FORWARDED_PROTO)) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if client.is_https() { "https" } else { "http" }));
    }
    match host {
        Some(host) if !(trusted && headers.contains_key(X_FORWARDED_HOST)) => {
            headers.insert(X_FORWARDED_HOST, host);
        }
        Some(_) => {}
        None => {
            headers.remove(X_FORWARDED_HOST);
        }
    }
    headers.append(VIA, VIA_US);
}

pub(super) fn lines<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = &'h [u8]> + use<'h> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

pub(super) fn x_forwarded_for(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &[u8]> {
    lines(headers, &X_FORWARDED_FOR)
}

/// What a trusted peer says about the connection it took the request from.
pub(super) fn says_https(headers: &HeaderMap) -> bool {
    headers.get(X_FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// Sets what was written into `buffer`, and empties it. What cannot be a field value is left out.
fn set(headers: &mut HeaderMap, name: HeaderName, buffer: &mut Vec<u8>) {
    match HeaderValue::from_maybe_shared(Bytes::copy_from_slice(buffer)) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
    buffer.clear();
}

/// Takes our cookie out, and joins what HTTP/2 may have split: HTTP/1.1 has one `Cookie` line (RFC 9113, 8.2.3).
fn strip_cookie(headers: &mut HeaderMap, name: &CookieName) {
    let Entry::Occupied(mut entry) = headers.entry(COOKIE) else { return };
    let single = entry.iter().nth(1).is_none();
    let joined;
    let line = if single {
        entry.get().as_bytes()
    } else {
        joined = entry.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(b"; ".as_slice());
        joined.as_slice()
    };
    let rest = match strip(line, name) {
        Stripped::Unchanged if single => return,
        Stripped::Unchanged => Some(line.to_vec()),
        Stripped::Rest(rest) => Some(rest),
        Stripped::Empty => None,
    };
    match rest.and_then(|rest| HeaderValue::from_maybe_shared(Bytes::from(rest)).ok()) {
        Some(value) => drop(entry.insert(value)),
        None => drop(entry.remove()),
    }
}

/// Takes out of a trailer section what could change how the message before it was read (RFC 9110, 6.5.1), and
/// what only the proxy may say.
pub(super) fn filter_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    let forbidden = |name: &HeaderName| {
        is_end_to_end(name)
            || matches!(name.as_str(), "set-cookie" | "authorization" | "te" | "trailer" | "expect" | "max-forwards")
            || *name == PROXY_AUTHENTICATE
            || *name == PROXY_AUTHORIZATION
            || *name == TRAILER
    };
    let names: Vec<HeaderName> = trailers.keys().filter(|name| forbidden(name)).cloned().collect();
    for name in names {
        trailers.remove(name);
    }
}
