//! The bearer token (RFC 6750), of which only the hash is kept.

use ctutils::CtEq;
use sha2::{Digest, Sha256};
use std::fmt;

/// The fewest characters of a token: 128 bits in hexadecimal.
const MIN_LEN: usize = 32;

/// The most characters of a token.
const MAX_LEN: usize = 1024;

/// Why a token was refused. The message does not contain the token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// Too short to be safe from guessing, or too long for a header.
    #[error("the token has {len} characters: use {MIN_LEN} to {MAX_LEN}, such as the output of `openssl rand -hex 32`")]
    Length {
        /// How many characters it has.
        len: usize,
    },
    /// A character that a header field cannot carry.
    #[error("the token has characters other than visible ASCII: use the output of `openssl rand -hex 32`")]
    Character,
}

/// The token that requests bring as `Authorization: Bearer TOKEN` (RFC 6750). Compared in constant time.
#[derive(Clone)]
pub struct BearerToken([u8; 32]);

impl BearerToken {
    /// The token `text`, 32 to 1024 characters of visible ASCII; surrounding white space, such as the last line feed of
    /// a file, is removed.
    ///
    /// # Errors
    /// [`TokenError`] where it is too short, too long or could not be sent.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim_ascii();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Character);
        }
        if !(MIN_LEN..=MAX_LEN).contains(&text.len()) {
            return Err(TokenError::Length { len: text.len() });
        }
        Ok(Self(Sha256::digest(text).into()))
    }

    /// Whether `offered` is the token. Compares hashes, in a time that depends on neither.
    pub(crate) fn is(&self, offered: &[u8]) -> bool {
        let offered: [u8; 32] = Sha256::digest(offered).into();
        self.0.ct_eq(&offered).to_bool()
    }
}

/// In constant time.
impl PartialEq for BearerToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).to_bool()
    }
}

impl Eq for BearerToken {}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn only_the_token_itself_is_it() {
        let token = BearerToken::new(&format!(" {TEXT}\n")).unwrap();
        assert!(token.is(TEXT.as_bytes()));
        for other in ["", "0", &TEXT[1..], &format!("{TEXT}0"), &TEXT.to_uppercase(), &format!("{TEXT}\n")] {
            assert!(!token.is(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn tokens_that_are_short_or_cannot_be_sent_are_refused() {
        assert_eq!(BearerToken::new(&TEXT[1..]).unwrap_err(), TokenError::Length { len: 31 });
        assert_eq!(BearerToken::new("").unwrap_err(), TokenError::Length { len: 0 });
        assert_eq!(BearerToken::new(&"x".repeat(1025)).unwrap_err(), TokenError::Length { len: 1025 });
        assert_eq!(BearerToken::new(&format!("{TEXT} {TEXT}")).unwrap_err(), TokenError::Character);
        assert_eq!(BearerToken::new(&format!("{TEXT}é")).unwrap_err(), TokenError::Character);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", BearerToken::new(TEXT).unwrap()), "BearerToken(..)");
    }
}
