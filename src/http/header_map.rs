//! Tokens, cookies and client addresses on a [`HeaderMap`], for hosts whose HTTP library has one.
//!
//! The same rules as in [`cookie`], [`set_cookie`](super::set_cookie) and [`client_addr`](super::client_addr), which
//! take borrowed bytes and any library. `homing::hyper::Sticky` and the proxy are built on these functions. None
//! of them panics.
//!
//! ```
//! use homing::http::{CookieSpec, header_map};
//! use homing::{Affinity, Balancer, KeyRing, Request, Timestamp, UpstreamConfig};
//! use http::HeaderMap;
//!
//! let balancer = Balancer::builder()
//!     .upstream(UpstreamConfig::new("app-1", "10.0.0.1:8080"))
//!     .affinity(Affinity::builder(KeyRing::generate("shop")?).build()?)
//!     .build()?;
//! let cookie = CookieSpec::default();
//!
//! // The request's headers come in, and go to the upstream without our cookie.
//! let mut headers = HeaderMap::new();
//! headers.insert("cookie", "theme=dark; homing=not-a-token".parse()?);
//! let tokens = header_map::tokens(&headers, cookie.name());
//! let pick = balancer.pick(&Request::new(Timestamp::from_secs(1_700_000_000)).tokens(&tokens))?;
//! header_map::strip_cookie(&mut headers, cookie.name());
//! assert_eq!(headers["cookie"], "theme=dark");
//!
//! // The response's headers get the new token.
//! let mut headers = HeaderMap::new();
//! let token = pick.token.as_ref().expect("the client brought no valid token");
//! header_map::append_set_cookie(&mut headers, &cookie, token, false);
//! assert!(headers["set-cookie"].to_str()?.starts_with("homing="));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::cookie::{self, LegacyCookies, Stripped, Tokens, strip};
use super::{CookieName, CookieSpec, RequestKey, TrustedProxies};
use crate::affinity::{AcceptedCookie, Token};
use http::header::{COOKIE, HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Uri};
use std::borrow::Cow;
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The values of the cookies called `name`, in order, at most [`MAX_TOKENS`](cookie::MAX_TOKENS); borrowed from
/// `headers`. Reads every `Cookie` line: HTTP/2 clients send one for each cookie (RFC 9113, section 8.2.3).
#[must_use]
pub fn tokens<'h>(headers: &'h HeaderMap, name: &CookieName) -> Tokens<'h> {
    cookie::tokens(values(headers, &COOKIE), name)
}

/// The values of the [accepted](crate::Affinity::accepted) legacy cookies, borrowed from `headers`. See
/// [`cookie::legacy_cookies`].
#[must_use]
pub fn legacy_cookies<'h>(headers: &'h HeaderMap, accepted: &[AcceptedCookie]) -> LegacyCookies<'h> {
    cookie::legacy_cookies(|| values(headers, &COOKIE), accepted)
}

/// The part of a request that hash policies hash. See [`RequestKey::of`].
#[must_use]
pub fn request_key<'h>(headers: &'h HeaderMap, uri: &'h Uri, key: &RequestKey) -> Option<&'h [u8]> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    key.of(target, |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes))
}

/// Joins the `Cookie` lines of a request into one, as HTTP/1.1 requires (RFC 9113, section 8.2.3); many applications
/// read only the first line. Does nothing, and allocates nothing, where there is at most one.
pub fn join_cookies(headers: &mut HeaderMap) {
    if let Cow::Owned(line) = cookie_line(headers) {
        replace_cookies(headers, line);
    }
}

/// Removes every cookie called `name` from a request, and joins what is left into one `Cookie` line, as
/// [`join_cookies`] does. Other cookies keep their bytes and their order; a request that has no cookie of that name and
/// one line stays as it is. See [`cookie::strip`].
pub fn strip_cookie(headers: &mut HeaderMap, name: &CookieName) {
    let line = cookie_line(headers);
    match (strip(&line, name), line) {
        (Stripped::Unchanged, Cow::Borrowed(_)) => {}
        (Stripped::Unchanged, Cow::Owned(line)) | (Stripped::Rest(line), _) => replace_cookies(headers, line),
        (Stripped::Empty, _) => {
            headers.remove(COOKIE);
        }
    }
}

/// Appends the `Set-Cookie` line that gives the client its token. Lines that the upstream has set stay. `https` says
/// whether the client's request arrived over HTTPS: see [`Secure::Auto`](super::Secure::Auto).
pub fn append_set_cookie(headers: &mut HeaderMap, cookie: &CookieSpec, token: &Token, https: bool) {
    // A validated cookie and a token are visible ASCII.
    if let Ok(value) = HeaderValue::try_from(cookie.set_cookie(token.as_str(), https)) {
        headers.append(SET_COOKIE, value);
    }
}

/// The client's address: the peer's, or the one that [trusted](TrustedProxies) proxies name in `X-Forwarded-For`. See
/// [`TrustedProxies::client_addr`].
#[must_use]
pub fn client_addr(headers: &HeaderMap, peer: IpAddr, trusted: &TrustedProxies) -> IpAddr {
    trusted.client_addr(peer, values(headers, &X_FORWARDED_FOR))
}

/// Whether `X-Forwarded-Proto` says that the client's request arrived over HTTPS. Any client can say so: ask only where
/// the peer is a trusted proxy.
#[must_use]
pub fn says_https(headers: &HeaderMap) -> bool {
    headers.get(X_FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// The values of all lines of this name, in order.
pub(crate) fn values<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = &'h [u8]> + use<'h> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

/// The `Cookie` lines as one; owned if there are several, empty if there is none.
pub(crate) fn cookie_line(headers: &HeaderMap) -> Cow<'_, [u8]> {
    let mut lines = values(headers, &COOKIE);
    let (first, second) = (lines.next().unwrap_or_default(), lines.next());
    match second {
        None => Cow::Borrowed(first),
        Some(second) => [first, second].into_iter().chain(lines).collect::<Vec<_>>().join(b"; ".as_slice()).into(),
    }
}

/// Puts `line`, which is made of bytes of the present lines, in their place.
fn replace_cookies(headers: &mut HeaderMap, line: Vec<u8>) {
    let is_sensitive = headers.get_all(COOKIE).iter().any(HeaderValue::is_sensitive);
    if let Ok(mut value) = HeaderValue::try_from(line) {
        value.set_sensitive(is_sensitive);
        headers.insert(COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|line| (COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    fn cookies(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
    }

    fn homing() -> CookieName {
        CookieName::default()
    }

    /// pingora issue 892, hyper pull request 2529, h2 issue 699: browsers split `Cookie` over HTTP/2, and an HTTP/1.1
    /// application read the first line alone.
    #[test]
    fn cookies_that_http2_has_split_are_all_read_and_leave_as_one_line() {
        let mut headers = request(&["theme=dark", "homing=one", "sid=2; homing=two", "lang=de"]);
        assert_eq!(&tokens(&headers, &homing())[..], [b"one", b"two"]);
        strip_cookie(&mut headers, &homing());
        assert_eq!(cookies(&headers), ["theme=dark; sid=2; lang=de"]);

        let mut headers = request(&["theme=dark", "lang=de"]);
        strip_cookie(&mut headers, &homing());
        assert_eq!(cookies(&headers), ["theme=dark; lang=de"]);
        let mut headers = request(&["theme=dark", "lang=de"]);
        join_cookies(&mut headers);
        assert_eq!(cookies(&headers), ["theme=dark; lang=de"]);
    }

    #[test]
    fn one_line_is_stripped_removed_or_left_alone() {
        for (line, left) in [("a=1; homing=x; b=2", &["a=1; b=2"][..]), ("homing=x", &[]), ("a=1;b=2 ", &["a=1;b=2 "])]
        {
            let mut headers = request(&[line]);
            strip_cookie(&mut headers, &homing());
            assert_eq!(cookies(&headers), left, "{line}");
        }
        let mut headers = request(&["homing=x", "homing=y"]);
        strip_cookie(&mut headers, &homing());
        assert!(headers.is_empty());
        strip_cookie(&mut headers, &homing());
        join_cookies(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_sensitive_cookie_stays_sensitive() {
        let mut headers = request(&["a=1; homing=x", "b=2"]);
        headers.get_mut(COOKIE).unwrap().set_sensitive(true);
        strip_cookie(&mut headers, &homing());
        assert!(headers[COOKIE].is_sensitive());
    }

    /// hyper issue 2100: `insert` replaces the cookies that the application has set.
    #[test]
    fn the_applications_own_set_cookie_lines_stay() {
        let ring = crate::KeyRing::builder("pool", [1; 32]).sign_with(1, [2; 32]).build().unwrap();
        let balancer = crate::Balancer::builder()
            .upstream(crate::UpstreamConfig::new("app-1", "a"))
            .affinity(crate::Affinity::builder(ring).build().unwrap())
            .build()
            .unwrap();
        let token = balancer.pick(&crate::Request::new(crate::Timestamp::from_secs(1))).unwrap().token.unwrap();
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("sid=1"));
        append_set_cookie(&mut headers, &CookieSpec::default(), &token, true);
        let lines: Vec<_> = headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
        let ours = format!("homing={}; HttpOnly; SameSite=Lax; Secure; Path=/", token.as_str());
        assert_eq!(lines, ["sid=1", &*ours]);
    }

    #[test]
    fn the_client_is_named_by_trusted_proxies_alone() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("10.0.0.2"));
        headers.append(X_FORWARDED_PROTO, HeaderValue::from_static("HTTPS"));
        let peer = IpAddr::from([10, 0, 0, 1]);
        let trusted = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
        assert_eq!(client_addr(&headers, peer, &trusted), IpAddr::from([198, 51, 100, 7]));
        assert_eq!(client_addr(&headers, peer, &TrustedProxies::default()), peer);
        assert!(says_https(&headers) && !says_https(&HeaderMap::new()));
    }
}
