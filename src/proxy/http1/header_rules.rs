//! Rules about header fields: which are for one hop only, which the proxy alone may set, and how a client could get
//! around that.

use super::fields::{self, Fields};
use crate::http::header_map::values;
use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, FORWARDED, HOST, HeaderName, UPGRADE, VIA};
use http::{HeaderMap, HeaderValue, Version, request};
use http_body::Frame;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The fields that the proxy alone sets. `Connection` cannot remove them, and a client cannot send them with `_` for
/// `-`, which CGI and WSGI programs cannot tell apart.
const OURS: [HeaderName; 6] = [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, VIA, X_REAL_IP];

/// The protocol that a message came by, and the name by which this proxy is known.
pub(crate) fn via(received: Version) -> &'static str {
    match received {
        Version::HTTP_2 => "2 homing",
        Version::HTTP_10 => "1.0 homing",
        _ => "1.1 homing",
    }
}

/// The protocol that the client asks to upgrade to, where a tunnel can carry it. `h2c` is not one: its requests would
/// reach the upstream past every rule here.
pub(crate) fn wanted_protocol(parts: &request::Parts, fields: Fields) -> Option<&HeaderValue> {
    if !fields.has(fields::UPGRADE) || parts.version != Version::HTTP_11 {
        return None;
    }
    let mut protocols = parts.headers.get_all(UPGRADE).iter();
    let (protocol, None) = (protocols.next()?, protocols.next()) else { return None };
    let name = protocol.as_bytes();
    let is_one = !name.is_empty() && !name.contains(&b',') && !name.eq_ignore_ascii_case(b"h2c");
    let mut options = values(&parts.headers, &CONNECTION).flat_map(options);
    (is_one && options.any(|option| option.eq_ignore_ascii_case(b"upgrade"))).then_some(protocol)
}

/// The members of a comma-separated list.
pub(crate) fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

/// The fields that `Connection` declares hop-by-hop.
pub(crate) fn named_by_connection(headers: &HeaderMap) -> Vec<&[u8]> {
    let own =
        |option: &&[u8]| [b"close".as_slice(), b"keep-alive"].iter().any(|known| option.eq_ignore_ascii_case(known));
    values(headers, &CONNECTION).flat_map(options).filter(|option| !own(option)).collect()
}

/// Fields that `Connection` cannot remove: a client that could would talk to the upstream in the proxy's name, or get
/// around its checks.
pub(crate) fn is_end_to_end(name: &HeaderName) -> bool {
    *name == HOST || *name == COOKIE || name.as_str().starts_with("content-") || OURS.contains(name)
}

/// Whether a program that cannot tell `_` from `-` would take `name` for one of [`OURS`].
pub(crate) fn is_alias(name: &HeaderName) -> bool {
    let dashed = name.as_str().replace('_', "-");
    dashed != name.as_str() && OURS.iter().any(|ours| ours.as_str() == dashed)
}

/// Whether a `TE` list has `trailers`, the one member that is passed on.
pub(crate) fn accepts_trailers(te: &[u8]) -> bool {
    te.split(|byte| *byte == b',').any(|member| {
        let coding = member.split(|byte| *byte == b';').next().unwrap_or_default();
        coding.trim_ascii().eq_ignore_ascii_case(b"trailers")
    })
}

/// Removes from a trailer section what could change how the message before it was read (RFC 9110, section 6.5.1), and
/// what the proxy alone may set.
fn filter_trailers(trailers: &mut HeaderMap) {
    let forbidden = |name: &HeaderName| {
        is_end_to_end(name)
            || fields::group(name.as_str()) & (fields::CONNECTION | fields::HOP_BY_HOP) != 0
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

/// A frame of a body, with [`filter_trailers`] applied if it is a trailer section.
pub(crate) fn without_forbidden_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            filter_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}
