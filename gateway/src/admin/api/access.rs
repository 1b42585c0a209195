//! Which requests are admitted, and what a browser may send for a page.
//!
//! Nothing is admitted by address alone: without a token a request has to name a loopback host as well, which a page
//! whose name was rebound to 127.0.0.1 (DNS rebinding) cannot. Changes need a content type that no HTML form sends.

use crate::admin::BearerToken;
use crate::admin::api::problem::Problem;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, request};
use std::net::{IpAddr, SocketAddr};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether `peer` may send this request.
pub(crate) fn admit(token: Option<&BearerToken>, peer: SocketAddr, request: &request::Parts) -> Result<(), Problem> {
    match token {
        Some(token) if is_borne(token, &request.headers) => Ok(()),
        // The dashboard holds no data: it is the page that asks for the token.
        Some(_) if request.method == Method::GET && request.uri.path() == "/" => Ok(()),
        Some(_) => Err(Problem::unauthorized()),
        None if !peer.ip().to_canonical().is_loopback() => {
            Err(Problem::forbidden("not_loopback", "without a token only this machine is admitted; configure one"))
        }
        // DNS rebinding: a page's requests come from this machine, but still name the page's host.
        None if !names_loopback(request) => Err(Problem::forbidden(
            "host",
            "without a token the Host must be a loopback address or localhost; configure a token to use other names",
        )),
        None => Ok(()),
    }
}

/// Whether a change comes from a program or from a page of this origin.
pub(crate) fn check_change(request: &request::Parts) -> Result<(), Problem> {
    let headers = &request.headers;
    let is_ours = headers.get_all(ORIGIN).iter().all(|origin| is_same_origin(origin.as_bytes(), request))
        && headers.get_all(SEC_FETCH_SITE).iter().all(|site| site == "same-origin" || site == "none");
    if !is_ours {
        return Err(Problem::forbidden("cross_origin", "a page of another origin may not make changes"));
    }
    // A content type that no form, and no script of another origin without a CORS preflight, can send.
    if request.method != Method::DELETE && !is_json(headers) {
        return Err(Problem::media_type());
    }
    Ok(())
}

fn is_borne(token: &BearerToken, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    match value.as_bytes().split_at_checked("Bearer ".len()) {
        Some((scheme, offered)) => scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(offered.trim_ascii()),
        None => false,
    }
}

/// Whether the request names a host, and each host that it names is this machine.
fn names_loopback(request: &request::Parts) -> bool {
    let fields = request.headers.get_all(HOST).iter().map(|host| Authority::try_from(host.as_bytes()).ok());
    let mut hosts = request.uri.authority().cloned().map(Some).into_iter().chain(fields).peekable();
    hosts.peek().is_some() && hosts.all(|host| host.is_some_and(|host| is_loopback(host.host())))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether `origin` has the host of this request. The scheme is ignored: TLS may end in front of the gateway.
fn is_same_origin(origin: &[u8], request: &request::Parts) -> bool {
    let Some(host) = request.headers.get(HOST) else { return false };
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_bytes()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn parts(method: Method, fields: &[(&str, &str)]) -> request::Parts {
        let request = Request::builder().method(method).uri("/api/v1/plan");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn admitted(token: Option<&BearerToken>, peer: &str, fields: &[(&str, &str)]) -> bool {
        admit(token, peer.parse().unwrap(), &parts(Method::GET, fields)).is_ok()
    }

    #[test]
    fn without_a_token_address_and_host_are_loopback() {
        for host in ["localhost", "LOCALHOST:9090", "127.0.0.1:9090", "127.9.9.9", "[::1]:9090", "[::ffff:127.0.0.1]"] {
            assert!(admitted(None, "127.0.0.1:5", &[("host", host)]), "{host}");
            assert!(admitted(None, "[::ffff:127.0.0.1]:5", &[("host", host)]), "{host}");
            assert!(!admitted(None, "10.0.0.1:5", &[("host", host)]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "[::2]", "a b"]
        {
            assert!(!admitted(None, "127.0.0.1:5", &[("host", host)]), "{host}");
        }
        assert!(!admitted(None, "127.0.0.1:5", &[]));
        assert!(!admitted(None, "127.0.0.1:5", &[("host", "localhost"), ("host", "evil.example")]));
    }

    #[test]
    fn with_a_token_only_the_token_counts() {
        let token = BearerToken::new(TOKEN).unwrap();
        let admitted = |value: &str| admitted(Some(&token), "10.0.0.1:5", &[("authorization", value)]);
        assert!(admitted(&format!("Bearer {TOKEN}")));
        assert!(admitted(&format!("bearer  {TOKEN}")));
        for wrong in ["", "Bearer", "Bearer ", TOKEN, &format!("Basic {TOKEN}"), &format!("Bearer {TOKEN}0")] {
            assert!(!admitted(wrong), "{wrong}");
        }
        assert!(!super::tests::admitted(Some(&token), "127.0.0.1:5", &[("host", "localhost")]));
    }

    #[test]
    fn changes_come_from_programs_and_from_pages_of_this_origin() {
        const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
        let is_allowed = |method, more: &[(&str, &str)]| {
            check_change(&parts(method, &[&[("host", "localhost:9090")], more].concat())).is_ok()
        };
        assert!(is_allowed(Method::POST, &[JSON]));
        assert!(is_allowed(Method::DELETE, &[]));
        assert!(is_allowed(Method::PUT, &[JSON, ("origin", "http://localhost:9090")]));
        assert!(is_allowed(
            Method::PUT,
            &[JSON, ("origin", "https://LOCALHOST:9090"), ("sec-fetch-site", "same-origin")]
        ));
        for more in [
            ("origin", "http://evil.example"),
            ("origin", "http://localhost:9091"),
            ("origin", "http://localhost"),
            ("origin", "null"),
            ("origin", "file://localhost:9090"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!is_allowed(Method::POST, &[JSON, more]), "{more:?}");
            assert!(!is_allowed(Method::DELETE, &[more]), "{more:?}");
        }
        for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert!(!is_allowed(Method::POST, &[("content-type", other)]), "{other}");
        }
        assert!(!is_allowed(Method::POST, &[]));
        assert!(!is_allowed(Method::POST, &[JSON, ("content-type", "text/plain")]));
    }
}
