//! Validated cookie names.

use std::fmt;
use std::str::FromStr;

/// A cookie name: an RFC 6265 token of 1 to 128 bytes, which browsers and servers parse alike.
///
/// Names are case-sensitive.
///
/// ```
/// use homing::http::CookieName;
///
/// let name: CookieName = "__Host-homing".parse()?;
/// assert_eq!(name.as_str(), "__Host-homing");
/// assert!("not a token".parse::<CookieName>().is_err());
/// # Ok::<(), homing::http::CookieNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CookieName(Box<str>);

impl CookieName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Validates `name` and copies it.
    ///
    /// # Errors
    /// [`CookieNameError`] where the name is empty, too long or not an RFC 6265 token.
    pub fn new(name: &str) -> Result<Self, CookieNameError> {
        if name.is_empty() {
            return Err(CookieNameError::Empty);
        }
        if name.len() > Self::MAX_LEN {
            return Err(CookieNameError::TooLong { len: name.len() });
        }
        match name.chars().find(|&c| !is_token_char(c)) {
            Some(found) => Err(CookieNameError::NotToken { found }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as it was configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CookieName {
    /// `homing`.
    fn default() -> Self {
        Self("homing".into())
    }
}

impl FromStr for CookieName {
    type Err = CookieNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a cookie name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieNameError {
    /// The name is empty.
    #[error("the cookie name is empty; give one, for example \"homing\"")]
    Empty,
    /// The name is longer than [`CookieName::MAX_LEN`].
    #[error("the cookie name has {len} bytes; shorten it to at most {}", CookieName::MAX_LEN)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The name has a character that no cookie name may have.
    #[error("a cookie name can't contain {found:?}; use ASCII letters, digits, `-`, `_` and `.`")]
    NotToken {
        /// The first such character.
        found: char,
    },
}

/// RFC 9110's `tchar`, of which RFC 6265's tokens consist.
pub(super) fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens() {
        for good in ["homing", "__Host-homing", "a", "!#$%&'*+-.^_`|~", &"n".repeat(128)] {
            assert_eq!(CookieName::new(good).unwrap().as_str(), good);
        }
        assert_eq!(CookieName::new(""), Err(CookieNameError::Empty));
        let long = CookieName::new(&"n".repeat(129));
        assert_eq!(long, Err(CookieNameError::TooLong { len: 129 }));
        for found in "()<>@,;:\\\"/[]?={} \t\n\0\u{7f}é".chars() {
            let refused = CookieName::new(&format!("a{found}b"));
            assert_eq!(refused, Err(CookieNameError::NotToken { found }));
        }
    }
}
