//! The part of a request that hash policies hash.

use super::{CookieName, CookieNameError, cookie};
use std::fmt;
use std::str::FromStr;

/// The part of a request that hash policies hash.
///
/// Its text form, as in configuration, is `client_ip`, `uri`, `path`, `header:NAME`, `cookie:NAME` or `query:NAME`. A
/// request without that part, or with an empty one, has no key; policies then hash the client's address.
///
/// ```
/// use homing::http::RequestKey;
///
/// let key: RequestKey = "query:room".parse()?;
/// let none = |_: &str| std::iter::empty();
/// assert_eq!(key.of("/chat?user=7&room=blue", none), Some(&b"blue"[..]));
/// assert_eq!(key.of("/chat", none), None);
/// # Ok::<(), homing::http::RequestKeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RequestKey {
    /// The client's address. Requests have no key, so policies fall back to the address.
    #[default]
    ClientIp,
    /// The request target as received, with its query.
    Uri,
    /// The request target without its query.
    Path,
    /// The first line of the header field of this name, which is in lower case.
    Header(Box<str>),
    /// The first cookie of this name.
    Cookie(CookieName),
    /// The first query parameter of this name, as received: neither name nor value is percent-decoded.
    Query(Box<str>),
}

/// Why a text is not a valid [`RequestKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestKeyError {
    /// An unknown kind.
    #[error("use client_ip, uri, path, header:NAME, cookie:NAME or query:NAME")]
    Unknown,
    /// Not a valid name of a header field.
    #[error("{name:?} is no name of a header field: use letters, digits and -")]
    Header {
        /// The name.
        name: String,
    },
    /// Not a valid cookie name.
    #[error(transparent)]
    Cookie(#[from] CookieNameError),
    /// Not a valid name of a query parameter.
    #[error("{name:?} is no name of a query parameter: give it as it stands in the query, without &, =, # and blanks")]
    Query {
        /// The name.
        name: String,
    },
}

impl RequestKey {
    /// The key of a request with this origin-form `target`. `lines` returns the lines of a header field, given its name
    /// in lower case. `None` where the part is absent or empty. Does not allocate; reads only the part that is named.
    pub fn of<'a, L>(&self, target: &'a str, lines: impl FnOnce(&str) -> L) -> Option<&'a [u8]>
    where
        L: IntoIterator<Item = &'a [u8]>,
    {
        let split = || target.split_once('?').unwrap_or((target, ""));
        let key = match self {
            Self::ClientIp => None,
            Self::Uri => Some(target.as_bytes()),
            Self::Path => Some(split().0.as_bytes()),
            Self::Header(name) => lines(name).into_iter().next(),
            Self::Cookie(name) => cookie::tokens(lines("cookie"), name).first().copied(),
            Self::Query(name) => {
                let pairs = split().1.split('&').filter_map(|pair| pair.split_once('='));
                pairs.filter(|(found, _)| *found == &**name).map(|(_, value)| value.as_bytes()).next()
            }
        };
        key.filter(|key| !key.is_empty())
    }
}

impl FromStr for RequestKey {
    type Err = RequestKeyError;

    fn from_str(text: &str) -> Result<Self, RequestKeyError> {
        match text.split_once(':') {
            None if text == "client_ip" => Ok(Self::ClientIp),
            None if text == "uri" => Ok(Self::Uri),
            None if text == "path" => Ok(Self::Path),
            Some(("header", name)) => {
                let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
                match !name.is_empty() && name.bytes().all(legal) {
                    true => Ok(Self::Header(name.to_ascii_lowercase().into())),
                    false => Err(RequestKeyError::Header { name: name.to_owned() }),
                }
            }
            Some(("cookie", name)) => Ok(Self::Cookie(CookieName::new(name)?)),
            Some(("query", name)) => {
                let legal = |byte: u8| byte.is_ascii_graphic() && !b"&=#".contains(&byte);
                match !name.is_empty() && name.bytes().all(legal) {
                    true => Ok(Self::Query(name.into())),
                    false => Err(RequestKeyError::Query { name: name.to_owned() }),
                }
            }
            _ => Err(RequestKeyError::Unknown),
        }
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Uri => f.write_str("uri"),
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{}", name.as_str()),
            Self::Query(name) => write!(f, "query:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, target: &'static str, fields: &[(&str, &'static str)]) -> Option<&'static str> {
        let key: RequestKey = key.parse().unwrap();
        let lines = |name: &str| -> Vec<&'static [u8]> {
            fields.iter().filter(|field| field.0 == name).map(|field| field.1.as_bytes()).collect()
        };
        key.of(target, lines).map(|key| std::str::from_utf8(key).unwrap())
    }

    #[test]
    fn each_part_is_found_where_it_stands() {
        let target = "/a/b?x=1&room=blue&room=red&empty=&bare";
        assert_eq!(of("uri", target, &[]), Some(target));
        assert_eq!(of("path", target, &[]), Some("/a/b"));
        assert_eq!(of("query:room", target, &[]), Some("blue"));
        assert_eq!(of("header:X-User", "/", &[("x-user", "ann"), ("x-user", "bob")]), Some("ann"));
        let cookies = [("cookie", "a=1; sid=\"s 1\""), ("cookie", "sid=2")];
        assert_eq!(of("cookie:sid", "/", &cookies), Some("s 1"));
    }

    #[test]
    fn what_is_absent_or_empty_is_no_key() {
        for (key, target) in [
            ("client_ip", "/a?b"),
            ("query:room", "/room=1"),
            ("query:room", "/?Room=1&xroom=2&room"),
            ("query:empty", "/?empty="),
            ("header:x-user", "/"),
            ("cookie:sid", "/?sid=1"),
        ] {
            assert_eq!(of(key, target, &[("x-other", "1"), ("cookie", "sidx=1; sid=")]), None, "{key} {target}");
        }
        assert_eq!(of("header:x-user", "/", &[("x-user", "")]), None);
    }

    #[test]
    fn a_text_names_a_part_or_says_which_would() {
        for text in ["client_ip", "uri", "path", "header:x-user", "cookie:sid", "query:room"] {
            assert_eq!(text.parse::<RequestKey>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "ip",
            "url",
            "client_ip:",
            "header",
            "header:",
            "header:a b",
            "cookie:",
            "cookie:a=b",
            "query:",
            "query:a&b",
            "body:x",
        ] {
            assert!(text.parse::<RequestKey>().is_err(), "{text}");
        }
    }
}
