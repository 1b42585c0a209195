//! Validates a request before anything is done for it.
//!
//! The parsers are strict about bytes and lenient about meaning. Where two servers could read one request
//! differently, a proxy has to reject it, or the difference allows request smuggling (RFC 9112, section 11.2).

use crate::proxy::http1::fields::{self, Fields};
use crate::proxy::local_reply::LocalReply;
use crate::proxy::settings::Limits;
use http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Version};

/// Rejects what cannot be forwarded, and leaves the request with an origin-form target and exactly one `Host`.
pub(crate) fn validate(parts: &mut Parts, fields: Fields, limits: &Limits) -> Result<(), LocalReply> {
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    let path = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if authority + path > limits.uri_bytes {
        return Err(LocalReply::UriTooLong);
    }
    if fields.bytes > limits.header_bytes {
        return Err(LocalReply::HeadersTooLarge);
    }
    if fields.has(fields::TRANSFER_ENCODING) {
        transfer_encoding(&parts.headers)?;
        if fields.has(fields::CONTENT_LENGTH) {
            return Err(LocalReply::BadTransferEncoding);
        }
    }
    if fields.has(fields::EXPECT) {
        let expected = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        if !parts.headers.get_all(EXPECT).iter().all(expected) {
            return Err(LocalReply::Expectation);
        }
    }
    target(parts)?;
    host(parts)
}

/// hyper's parser looks at the last coding only, ours at none.
fn transfer_encoding(headers: &HeaderMap) -> Result<(), LocalReply> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(LocalReply::BadTransferEncoding),
    }
}

fn target(parts: &Parts) -> Result<(), LocalReply> {
    if parts.method == Method::CONNECT {
        return Err(LocalReply::Connect);
    }
    match parts.uri.path() {
        "*" if parts.method == Method::OPTIONS => Ok(()),
        path if path.starts_with('/') => Ok(()),
        _ => Err(LocalReply::BadTarget),
    }
}

/// An absolute-form target (and HTTP/2's `:authority`) overrides `Host`; HTTP/1.1 must send a valid one all the same
/// (RFC 9112, section 3.2).
fn host(parts: &mut Parts) -> Result<(), LocalReply> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes())?,
        (Some(_), Some(_)) => return Err(LocalReply::BadHost),
        (None, _) if parts.version == Version::HTTP_11 => return Err(LocalReply::NoHost),
        (None, _) if parts.version > Version::HTTP_11 && parts.uri.authority().is_none() => {
            return Err(LocalReply::NoHost);
        }
        (None, _) => {}
    }
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::from_str(without_userinfo(authority)).map_err(|_| LocalReply::BadHost)?;
        is_host(host.as_bytes())?;
        parts.headers.insert(HOST, host);
        let target = parts.uri.path_and_query().cloned();
        parts.uri = match target {
            // The path may be empty in the absolute form only (RFC 9112, section 3.2.1).
            Some(target) if target.as_str().starts_with('?') => {
                PathAndQuery::try_from(format!("/{}", target.as_str())).map_err(|_| LocalReply::BadTarget)?.into()
            }
            Some(target) => target.into(),
            None => http::Uri::default(),
        };
    }
    Ok(())
}

fn without_userinfo(authority: &Authority) -> &str {
    authority.as_str().rsplit('@').next().unwrap_or_default()
}

/// The bytes of RFC 3986's `unreserved`, `sub-delims` and `pct-encoded`.
const LEGAL: [bool; 256] = {
    let mut legal = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        legal[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=%";
    let mut n = 0;
    while n < others.len() {
        legal[others[n] as usize] = true;
        n += 1;
    }
    legal
};

/// `uri-host [":" port]` by RFC 3986, without userinfo, which `Host` never has.
fn is_host(host: &[u8]) -> Result<(), LocalReply> {
    let legal = |byte: &u8| LEGAL[usize::from(*byte)];
    let (name, port) = match host {
        [b'[', rest @ ..] => match rest.iter().position(|byte| *byte == b']') {
            Some(end) => {
                let (literal, port) = (&rest[..end], &rest[end + 1..]);
                let ok = !literal.is_empty() && literal.iter().all(|byte| legal(byte) || *byte == b':');
                (ok, port)
            }
            None => (false, host),
        },
        _ => {
            let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
            (end > 0 && host[..end].iter().all(legal), &host[end..])
        }
    };
    let port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if name && port { Ok(()) } else { Err(LocalReply::BadHost) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validated(request: http::request::Builder) -> Result<Parts, LocalReply> {
        let mut parts = request.body(()).unwrap().into_parts().0;
        let fields = Fields::of(&parts.headers);
        validate(&mut parts, fields, &Limits::default()).map(|()| parts)
    }

    fn get(uri: &str) -> http::request::Builder {
        http::Request::get(uri)
    }

    #[test]
    fn hosts_are_what_rfc_3986_says() {
        for host in
            ["a", "a.b-c.example:80", "127.0.0.1:8080", "[::1]", "[2001:db8::1]:443", "xn--bcher-kva.example", "a:"]
        {
            assert_eq!(is_host(host.as_bytes()), Ok(()), "{host}");
        }
        for host in [
            "",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "a:b",
            "a:123456",
            "[::1",
            "[]",
            "[::1]x",
            "a\\b",
            "<a>",
            "a,b\u{e9}",
            "a:80:80",
        ] {
            assert_eq!(is_host(host.as_bytes()), Err(LocalReply::BadHost), "{host}");
        }
    }

    #[test]
    fn an_absolute_target_replaces_the_host() {
        let parts = validated(get("http://right.example:81/x?y").header(HOST, "wrong.example")).unwrap();
        assert_eq!(
            (parts.headers[HOST].to_str().unwrap(), parts.uri.to_string().as_str()),
            ("right.example:81", "/x?y")
        );
        let parts = validated(get("http://right.example?y").header(HOST, "right.example")).unwrap();
        assert_eq!(parts.uri.path_and_query().unwrap().as_str(), "/?y");
        assert_eq!(validated(get("http://right.example")).unwrap_err(), LocalReply::NoHost);
        let parts = validated(get("http://user@right.example").header(HOST, "right.example")).unwrap();
        assert_eq!((parts.headers[HOST].to_str().unwrap(), parts.uri.to_string().as_str()), ("right.example", "/"));
    }

    #[test]
    fn each_rule_has_its_local_reply() {
        let ok = || get("/").header(HOST, "a");
        let rejected = |request| validated(request).unwrap_err();
        assert!(validated(ok()).is_ok());
        assert_eq!(rejected(get("/")), LocalReply::NoHost);
        assert!(validated(get("/").version(Version::HTTP_10)).is_ok());
        assert_eq!(rejected(ok().header(HOST, "a")), LocalReply::BadHost);
        assert_eq!(rejected(ok().method("CONNECT")), LocalReply::Connect);
        assert_eq!(rejected(get("*").header(HOST, "a")), LocalReply::BadTarget);
        assert!(validated(get("*").header(HOST, "a").method("OPTIONS")).is_ok());
        assert!(validated(ok().header(TRANSFER_ENCODING, "Chunked")).is_ok());
        for coding in ["identity, chunked", "chunked, chunked", "gzip, chunked", "xchunked", ""] {
            assert_eq!(rejected(ok().header(TRANSFER_ENCODING, coding)), LocalReply::BadTransferEncoding, "{coding}");
        }
        let twice = ok().header(TRANSFER_ENCODING, "chunked").header(TRANSFER_ENCODING, "chunked");
        assert_eq!(rejected(twice), LocalReply::BadTransferEncoding);
        let both = ok().header(TRANSFER_ENCODING, "chunked").header("content-length", "4");
        assert_eq!(rejected(both), LocalReply::BadTransferEncoding);
        assert_eq!(rejected(ok().header(EXPECT, "the-unexpected")), LocalReply::Expectation);
        assert!(validated(ok().header(EXPECT, "100-Continue")).is_ok());
        assert_eq!(rejected(ok().header("x", "y".repeat(16 * 1024))), LocalReply::HeadersTooLarge);
        assert_eq!(rejected(get(&format!("/{}", "x".repeat(8192))).header(HOST, "a")), LocalReply::UriTooLong);
    }
}
