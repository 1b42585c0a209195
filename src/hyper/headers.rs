//! Which header fields travel on, in which order they are treated: first the hop-by-hop ones go, then ours come.

use super::client::Client;
use super::fields::{self, Fields};
use crate::http::cookie::strip;
use crate::http::{CookieName, Stripped};
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, FORWARDED, HOST, HeaderName, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
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
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The fields that the proxy speaks for. Nobody else may name them, also not with `_` for `-`, which CGI and WSGI
/// programs could not tell apart.
const OURS: [HeaderName; 6] = [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, VIA, X_REAL_IP];

/// The protocol that a message came by, and the name by which this proxy is known.
fn via(received: Version) -> HeaderValue {
    HeaderValue::from_static(match received {
        Version::HTTP_2 => "2 homing",
        Version::HTTP_10 => "1.0 homing",
        _ => "1.1 homing",
    })
}

/// How many fields a request gains at most.
const ADDED: usize = 7;

/// Whether the client asks to leave HTTP on this connection, for a protocol that a tunnel can carry. `h2c` is not
/// one: its frames would reach the upstream past every rule here.
pub(super) fn wants_upgrade(parts: &request::Parts, fields: Fields) -> bool {
    if !fields.has(fields::UPGRADE) || parts.version != Version::HTTP_11 {
        return false;
    }
    let mut protocols = parts.headers.get_all(UPGRADE).iter();
    connection_has(&parts.headers, "upgrade")
        && match (protocols.next(), protocols.next()) {
            (Some(protocol), None) => {
                let protocol = protocol.as_bytes();
                !protocol.is_empty() && !protocol.contains(&b',') && !protocol.eq_ignore_ascii_case(b"h2c")
            }
            _ => false,
        }
}

/// Makes the client's fields the upstream's.
pub(super) fn prepare_request(parts: &mut request::Parts, fields: Fields, client: &Client, upgrade: bool) {
    let headers = &mut parts.headers;
    let protocol = if upgrade { headers.get(UPGRADE).cloned() } else { None };
    let trailers = fields.has(fields::TE) && headers.get_all(TE).iter().any(|te| accepts_trailers(te.as_bytes()));
    remove_hop_by_hop(headers, fields);
    if fields.has(fields::REQUEST_ONLY | fields::TE) {
        for name in [TE, EXPECT, HTTP2_SETTINGS, PROXY_AUTHORIZATION, PROXY] {
            headers.remove(name);
        }
    }
    if fields.has(fields::UNDERSCORE) {
        remove_aliases(headers);
    }

    // One growth of the map instead of one for every other field that is added.
    headers.reserve(ADDED);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    } else if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    headers.append(VIA, via(parts.version));
    forwarded(headers, fields, client);
    if fields.has(fields::COOKIE)
        && let Some(name) = client.cookie_name()
    {
        strip_cookie(headers, name);
    }
    parts.version = Version::HTTP_11;
}

/// Makes the upstream's fields the client's.
pub(super) fn prepare_response(headers: &mut HeaderMap, fields: Fields, upgraded: bool) {
    let protocol = if upgraded { headers.get(UPGRADE).cloned() } else { None };
    if fields.has(fields::TRANSFER_ENCODING) {
        // It overrides a length beside it (RFC 9112, 6.3), which would be wrong from here on.
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers, fields);
    if fields.has(fields::PROXY_AUTHENTICATE) {
        headers.remove(PROXY_AUTHENTICATE);
    }
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    headers.append(VIA, via(Version::HTTP_11));
}

/// Whether the fields of `Connection` hold this option.
fn connection_has(headers: &HeaderMap, option: &str) -> bool {
    connection_options(headers).any(|found| found.eq_ignore_ascii_case(option.as_bytes()))
}

/// The options that `Connection` lists.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(CONNECTION).into_iter().flat_map(|value| {
        value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
    })
}

fn remove_hop_by_hop(headers: &mut HeaderMap, fields: Fields) {
    if fields.has(fields::CONNECTION) {
        let named: Vec<HeaderName> = connection_options(headers)
            .filter_map(|option| HeaderName::from_bytes(option).ok())
            .filter(|name| headers.contains_key(name) && !is_end_to_end(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if fields.has(fields::HOP_BY_HOP) {
        for name in [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE] {
            headers.remove(name);
        }
    }
}

/// What `Connection` cannot take away: a client that could would talk to the upstream in the proxy's name, or
/// around its checks.
fn is_end_to_end(name: &HeaderName) -> bool {
    *name == HOST || *name == COOKIE || name.as_str().starts_with("content-") || OURS.contains(name)
}

fn remove_aliases(headers: &mut HeaderMap) {
    let is_alias = |name: &&HeaderName| {
        let dashed = name.as_str().replace('_', "-");
        dashed != name.as_str() && OURS.iter().any(|ours| ours.as_str() == dashed)
    };
    let aliases: Vec<HeaderName> = headers.keys().filter(is_alias).cloned().collect();
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

fn forwarded(headers: &mut HeaderMap, fields: Fields, client: &Client) {
    let host = headers.get(HOST).cloned();
    let proto = HeaderValue::from_static(if client.is_https() { "https" } else { "http" });
    if client.peer_is_trusted() && fields.has(fields::OURS) {
        let hop = client.hop(host.as_ref());
        let mut buffer = Vec::with_capacity(128);
        hop.write_x_forwarded_for(lines(headers, &X_FORWARDED_FOR), &mut buffer);
        headers.insert(X_FORWARDED_FOR, value(&buffer));
        buffer.clear();
        hop.write_forwarded(lines(headers, &FORWARDED), &mut buffer);
        headers.insert(FORWARDED, value(&buffer));
        headers.entry(X_FORWARDED_PROTO).or_insert(proto);
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
        return;
    }
    if fields.has(fields::OURS) {
        headers.remove(X_REAL_IP);
        headers.remove(X_FORWARDED_HOST);
    }
    let (x_forwarded_for, forwarded) = client.introduction(host.as_ref());
    headers.insert(X_FORWARDED_FOR, x_forwarded_for);
    headers.insert(FORWARDED, forwarded);
    headers.insert(X_FORWARDED_PROTO, proto);
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// What [`Hop`] has written, as a field value. It writes nothing that could not be one; were it otherwise, the
/// value would be empty, and not the client's.
pub(super) fn value(written: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(written).unwrap_or(HeaderValue::from_static(""))
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
    remove_hop_by_hop(trailers, Fields::of(trailers));
    let forbidden = |name: &HeaderName| {
        is_end_to_end(name)
            || matches!(
                name.as_str(),
                "set-cookie"
                    | "authorization"
                    | "te"
                    | "trailer"
                    | "expect"
                    | "max-forwards"
                    | "proxy-authenticate"
                    | "proxy-authorization"
            )
    };
    let names: Vec<HeaderName> = trailers.keys().filter(|name| forbidden(name)).cloned().collect();
    for name in names {
        trailers.remove(name);
    }
}
