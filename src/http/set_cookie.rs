//! The `Set-Cookie` value that gives a client its affinity token.
//!
//! Attributes are validated when the [`CookieSpec`] is built: a cookie that browsers would refuse is an error of
//! configuration, rather than affinity that silently fails.

use std::net::IpAddr;
use std::time::Duration;

use cookie::Cookie;

use super::{CookieName, CookieNameError};

/// Which cross-site requests carry the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// None, not even navigation by a link from another site.
    Strict,
    /// Links and other top-level navigations. The default.
    #[default]
    Lax,
    /// All, for applications embedded in frames of other sites. Browsers require `Secure` with it.
    None,
}

/// When the cookie has the `Secure` attribute, with which browsers do not send it over plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Secure {
    /// If the request arrived over HTTPS, or the cookie is one that browsers refuse without `Secure`
    /// ([`SameSite::None`] or partitioned). The default.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Why a cookie's attributes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The path is not a valid cookie path.
    #[error("a cookie path starts with `/` and has visible ASCII without `;`; use \"/\" for the whole site")]
    Path,
    /// The domain is not a host name.
    #[error("a cookie domain is a host name such as \"example.com\", without a leading dot, port or address")]
    Domain,
    /// The maximum age is below one second.
    #[error("a cookie's max-age is at least one second; leave it out for a session cookie")]
    MaxAge,
    /// [`SameSite::None`] with [`Secure::Never`].
    #[error("browsers refuse SameSite=None without Secure; set secure to auto or always")]
    SameSiteNone,
    /// A partitioned cookie with [`Secure::Never`].
    #[error("browsers refuse Partitioned without Secure; set secure to auto or always")]
    Partitioned,
    /// A name that starts with `__Host-`, with attributes that the prefix forbids.
    #[error(
        "browsers take a __Host- cookie only with secure = always, path \"/\" and no domain; set these or rename it"
    )]
    HostPrefix,
    /// A name that starts with `__Secure-`, with [`Secure`] other than [`Secure::Always`].
    #[error("browsers take a __Secure- cookie only with secure = always; set this or rename it")]
    SecurePrefix,
    /// The name is not a valid cookie name.
    #[error(transparent)]
    Name(#[from] CookieNameError),
}

/// The name and the attributes of the affinity cookie; always `HttpOnly`.
///
/// ```
/// use homing::http::{CookieName, CookieSpec};
///
/// let spec = CookieSpec::builder(CookieName::new("homing")?).build()?;
/// assert_eq!(spec.set_cookie("TOKEN", false), "homing=TOKEN; HttpOnly; SameSite=Lax; Path=/");
/// assert_eq!(spec.set_cookie("TOKEN", true), "homing=TOKEN; HttpOnly; SameSite=Lax; Secure; Path=/");
/// # Ok::<(), homing::http::CookieError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSpec {
    name: CookieName,
    path: String,
    domain: Option<String>,
    same_site: SameSite,
    secure: Secure,
    partitioned: bool,
    max_age: Option<Duration>,
}

impl Default for CookieSpec {
    /// The cookie `homing`, with the attributes that [`CookieSpec::builder`] starts from.
    fn default() -> Self {
        Self::builder(CookieName::default()).spec
    }
}

impl CookieSpec {
    /// A builder with the defaults: path `/`, no domain, [`SameSite::Lax`], [`Secure::Auto`], not partitioned, no
    /// `Max-Age` (a session cookie).
    pub fn builder(name: CookieName) -> CookieSpecBuilder {
        CookieSpecBuilder {
            spec: Self {
                name,
                path: "/".to_owned(),
                domain: None,
                same_site: SameSite::default(),
                secure: Secure::default(),
                partitioned: false,
                max_age: None,
            },
        }
    }

    /// The cookie's name.
    pub fn name(&self) -> &CookieName {
        &self.name
    }

    /// The `Set-Cookie` value that sets `token`; `https` tells whether the request arrived over HTTPS.
    ///
    /// The token is not escaped: it must consist of RFC 6265 cookie octets, as base64url does. Allocates the value.
    ///
    /// # Panics
    /// In debug builds, if the token contains other octets.
    pub fn set_cookie(&self, token: &str, https: bool) -> String {
        debug_assert!(token.bytes().all(|b| b.is_ascii_graphic() && !b"\",;\\".contains(&b)));
        let needs_secure = self.partitioned || self.same_site == SameSite::None;
        let secure = match self.secure {
            Secure::Auto => https || needs_secure,
            Secure::Always => true,
            Secure::Never => false,
        };
        let mut cookie = Cookie::build((self.name.as_str(), token))
            .http_only(true)
            .secure(secure)
            .partitioned(self.partitioned)
            .path(&self.path)
            .same_site(match self.same_site {
                SameSite::Strict => cookie::SameSite::Strict,
                SameSite::Lax => cookie::SameSite::Lax,
                SameSite::None => cookie::SameSite::None,
            });
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain);
        }
        if let Some(max_age) = self.max_age {
            let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
            cookie = cookie.max_age(cookie::time::Duration::seconds(seconds));
        }
        cookie.to_string()
    }
}

/// Collects the attributes of a [`CookieSpec`]; [`build`](Self::build) validates them together.
#[derive(Debug, Clone)]
pub struct CookieSpecBuilder {
    spec: CookieSpec,
}

impl CookieSpecBuilder {
    /// The path prefix for which browsers send the cookie.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.spec.path = path.into();
        self
    }

    /// The domain to which browsers send the cookie, including its subdomains; without one, only to the host that set
    /// it.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.spec.domain = Some(domain.into());
        self
    }

    /// Which cross-site requests carry the cookie.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.spec.same_site = same_site;
        self
    }

    /// When the cookie has the `Secure` attribute.
    pub fn secure(mut self, secure: Secure) -> Self {
        self.spec.secure = secure;
        self
    }

    /// Partitions the cookie by top-level site (CHIPS), for applications embedded in frames of other sites.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.spec.partitioned = partitioned;
        self
    }

    /// The cookie's `Max-Age`, rounded down to seconds; at least one second.
    ///
    /// Without it the cookie ends with the browser's session. Browsers cap it at 400 days.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.spec.max_age = Some(max_age);
        self
    }

    /// Validates the attributes by the rules of browsers.
    ///
    /// # Errors
    /// The first [`CookieError`] that applies.
    pub fn build(self) -> Result<CookieSpec, CookieError> {
        let spec = self.spec;
        if !is_path(&spec.path) {
            return Err(CookieError::Path);
        }
        if spec.domain.as_deref().is_some_and(|domain| !is_domain(domain)) {
            return Err(CookieError::Domain);
        }
        if spec.max_age.is_some_and(|age| age < Duration::from_secs(1)) {
            return Err(CookieError::MaxAge);
        }
        if spec.secure == Secure::Never {
            if spec.same_site == SameSite::None {
                return Err(CookieError::SameSiteNone);
            }
            if spec.partitioned {
                return Err(CookieError::Partitioned);
            }
        }
        let always = spec.secure == Secure::Always;
        if has_prefix(&spec.name, "__Host-") && !(always && spec.path == "/" && spec.domain.is_none()) {
            return Err(CookieError::HostPrefix);
        }
        if has_prefix(&spec.name, "__Secure-") && !always {
            return Err(CookieError::SecurePrefix);
        }
        Ok(spec)
    }
}

/// Whether `name` has the prefix; case-insensitive, as in browsers.
fn has_prefix(name: &CookieName, prefix: &str) -> bool {
    name.as_str().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b';')
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    domain.len() <= 253 && domain.parse::<IpAddr>().is_err() && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> CookieSpecBuilder {
        CookieSpec::builder(CookieName::new(name).unwrap())
    }

    fn homing() -> CookieSpecBuilder {
        named("homing")
    }

    #[test]
    fn golden_bytes() {
        let day = Duration::from_millis(86_400_999);
        for (builder, http, https) in [
            (
                homing(),
                "homing=TOKEN; HttpOnly; SameSite=Lax; Path=/",
                "homing=TOKEN; HttpOnly; SameSite=Lax; Secure; Path=/",
            ),
            (
                homing().secure(Secure::Never).same_site(SameSite::Strict),
                "homing=TOKEN; HttpOnly; SameSite=Strict; Path=/",
                "homing=TOKEN; HttpOnly; SameSite=Strict; Path=/",
            ),
            (
                homing().same_site(SameSite::None),
                "homing=TOKEN; HttpOnly; SameSite=None; Secure; Path=/",
                "homing=TOKEN; HttpOnly; SameSite=None; Secure; Path=/",
            ),
            (
                homing().partitioned(true),
                "homing=TOKEN; HttpOnly; SameSite=Lax; Partitioned; Secure; Path=/",
                "homing=TOKEN; HttpOnly; SameSite=Lax; Partitioned; Secure; Path=/",
            ),
            (
                homing().path("/app").domain("example.com").max_age(day),
                "homing=TOKEN; HttpOnly; SameSite=Lax; Path=/app; Domain=example.com; Max-Age=86400",
                "homing=TOKEN; HttpOnly; SameSite=Lax; Secure; Path=/app; Domain=example.com; Max-Age=86400",
            ),
            (
                named("__Host-homing").secure(Secure::Always),
                "__Host-homing=TOKEN; HttpOnly; SameSite=Lax; Secure; Path=/",
                "__Host-homing=TOKEN; HttpOnly; SameSite=Lax; Secure; Path=/",
            ),
        ] {
            let spec = builder.build().unwrap();
            assert_eq!(spec.set_cookie("TOKEN", false), http);
            assert_eq!(spec.set_cookie("TOKEN", true), https);
        }
    }

    #[test]
    fn cookies_that_browsers_refuse_are_refused() {
        use CookieError::*;
        let secure = |name| named(name).secure(Secure::Always);
        for (builder, error) in [
            (homing().path(""), Path),
            (homing().path("app"), Path),
            (homing().path("/a;b"), Path),
            (homing().path("/a b"), Path),
            (homing().path("/\r\n"), Path),
            (homing().domain(""), Domain),
            (homing().domain(".example.com"), Domain),
            (homing().domain("example.com:80"), Domain),
            (homing().domain("example.com; Path=/x"), Domain),
            (homing().domain("127.0.0.1"), Domain),
            (homing().domain("l".repeat(64)), Domain),
            (homing().max_age(Duration::from_millis(999)), MaxAge),
            (homing().secure(Secure::Never).same_site(SameSite::None), SameSiteNone),
            (homing().secure(Secure::Never).partitioned(true), Partitioned),
            (named("__Host-h"), HostPrefix),
            (named("__hOST-h"), HostPrefix),
            (secure("__Host-h").path("/app"), HostPrefix),
            (secure("__Host-h").domain("example.com"), HostPrefix),
            (named("__Secure-h"), SecurePrefix),
            (named("__secure-h").secure(Secure::Never), SecurePrefix),
        ] {
            assert_eq!(builder.clone().build(), Err(error), "{builder:?}");
        }
        assert!(secure("__Secure-h").path("/app").domain("example.com").build().is_ok());
    }
}
