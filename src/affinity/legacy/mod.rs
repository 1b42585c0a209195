//! Cookies that another proxy set: what their values mean, so that replacing that proxy logs no user out.
//!
//! A legacy cookie names a client's upstream, each kind in its own way: by the upstream's name, or by something
//! derived from its address. [`LegacyFormat`] knows the value that each proxy would have set for every upstream of the
//! cluster; that is computed once a cluster, and a request costs a table lookup. A session that has no good token is
//! pinned by it, and carries a token of ours from then on.
//!
//! Most of these values are neither secret nor signed: while they are accepted, a client can choose its upstream. Stop
//! accepting them when the clients that had one have come by, or their sessions have ended.
//!
//! `table.rs` has the lookup; the other files compute each program's values.

mod caddy;
mod haproxy;
mod nginx;
mod table;
mod traefik;
mod yarp;

pub(crate) use table::LegacyCookieTable;
#[cfg(any(feature = "http", test))]
pub(crate) use table::MAX_VALUES;

use crate::cluster::Upstream;
use std::fmt;

/// The most kinds of cookies that an [`Affinity`](super::Affinity) accepts.
pub const MAX_ACCEPTED: usize = 4;

/// A legacy cookie that is accepted, and how it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptedCookie {
    format: LegacyFormat,
    cookie: Box<str>,
}

impl AcceptedCookie {
    /// Reads the cookie of this name (case-sensitive) in this format. A name that no cookie can have is never found.
    #[must_use]
    pub fn new(format: LegacyFormat, cookie: impl Into<Box<str>>) -> Self {
        Self { format, cookie: cookie.into() }
    }

    /// The format of its value.
    #[must_use]
    pub fn format(&self) -> &LegacyFormat {
        &self.format
    }

    /// The cookie's name.
    #[must_use]
    pub fn cookie(&self) -> &str {
        &self.cookie
    }
}

/// A legacy cookie as a request brought it: see [`Request::legacy_cookies`](crate::Request::legacy_cookies).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LegacyCookie<'a> {
    /// Its index in [`Affinity::accepted`](super::Affinity::accepted).
    pub accept: usize,
    /// Its value: any bytes, untrusted.
    pub value: &'a [u8],
}

/// How a proxy derives its cookie's value from an upstream. Values are compared byte for byte.
///
/// Names and addresses are those of [`UpstreamConfig::new`](crate::UpstreamConfig::new); where a value is derived from
/// the name that the other proxy gave an upstream, the upstream needs the same name here.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LegacyFormat {
    /// nginx's `sticky cookie`: the MD5 of the address in hexadecimal. The address has to be an IP address and a port,
    /// which is what nginx makes of a name.
    #[cfg(feature = "http")]
    NginxMd5,
    /// nginx's `sticky route`, and a `map` of a cookie: the upstream's name, by itself or behind a dot, as in
    /// `JSESSIONID=2B6F.app-1`. It stands behind the first dot or the last; the longer one counts where both are names.
    NginxRoute,
    /// HAProxy's `cookie` keyword with a value for each server: the upstream's name. What follows the first `|` (the
    /// dates of `maxidle` and `maxlife`) or `~` (the application's own value, with `prefix`) is ignored.
    ///
    /// With `prefix` HAProxy stores the name in the application's own cookie and removes it from requests. Here it is
    /// not removed, so the application must tolerate it.
    HaProxy,
    /// HAProxy's `cookie … dynamic`: the 64-bit xxHash of the key, the IP address and the port, in hexadecimal. The
    /// address has to be an IP address and a port, which is what HAProxy makes of a name.
    HaProxyDynamic {
        /// The `dynamic-cookie-key`.
        key: Secret,
    },
    /// Traefik's `sticky.cookie`, as 3.7 sets it: the first 16 hexadecimal digits of the SHA-256 of the server's URL,
    /// which is taken to be `http://` and the address.
    Traefik,
    /// Caddy's `lb_policy cookie`: the HMAC-SHA256 of the address in hexadecimal.
    Caddy {
        /// The secret after the cookie's name in `lb_policy cookie`; may be empty.
        secret: Secret,
    },
    /// YARP's `HashCookie`: the 64-bit xxHash of the upper-case name in UTF-16, in hexadecimal.
    YarpHash,
    /// YARP's `ArrCookie`, and the `ARRAffinity` of IIS that it follows: the SHA-256 of the lower-case name in UTF-16,
    /// in upper-case hexadecimal.
    Arr,
}

impl LegacyFormat {
    /// Whether the value is derived from an IP address and a port, so that an upstream whose address is a name has
    /// none.
    #[must_use]
    pub fn needs_ip_address(&self) -> bool {
        match self {
            #[cfg(feature = "http")]
            Self::NginxMd5 => true,
            Self::HaProxyDynamic { .. } => true,
            _ => false,
        }
    }

    /// The value that the proxy sets for the upstream of this name and address; `None` where that cannot be known. One
    /// hash, and a text of 64 bytes or the length of the name.
    #[must_use]
    pub fn value(&self, name: &str, address: &str) -> Option<String> {
        match self {
            #[cfg(feature = "http")]
            Self::NginxMd5 => nginx::md5(address),
            Self::NginxRoute | Self::HaProxy => Some(name.to_owned()),
            Self::HaProxyDynamic { key } => haproxy::dynamic(key, address),
            Self::Traefik => Some(traefik::value(address)),
            Self::Caddy { secret } => Some(caddy::value(secret, address)),
            Self::YarpHash => Some(yarp::hash_cookie(name)),
            Self::Arr => Some(yarp::arr_cookie(name)),
        }
    }

    fn value_of(&self, upstream: &Upstream) -> Option<String> {
        self.value(upstream.name(), upstream.address())
    }

    /// The parts of a value that may equal [`value`](Self::value), in order of precedence. Empty ones do not count.
    fn readings<'a>(&self, value: &'a [u8]) -> [&'a [u8]; 3] {
        match self {
            Self::NginxRoute => nginx::route(value),
            Self::HaProxy | Self::HaProxyDynamic { .. } => haproxy::readings(value),
            _ => [value, b"", b""],
        }
    }
}

/// A secret of the other proxy. Never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Copies the secret; any bytes, or none.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().into())
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests;
