//! The token's wire format: 42 bytes, 56 characters.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version (4 bits, now 1), key id (4 bits) |
//! | 8 | upstream id |
//! | 8 | session id |
//! | 4 | issued-at, Unix seconds |
//! | 2 | last-seen window, counted since issued-at |
//! | 2 | incarnation of the upstream process |
//! | 1 | flags: the window's length as a power of two of seconds (5 bits), the rest zero |
//! | 16 | HMAC-SHA256 over the 26 bytes before it, truncated to 128 bits |
//!
//! Numbers are big-endian. The text is unpadded base64url; 42 is divisible by three, so no bits are spare and every
//! token has one encoding. The window's length is in the token itself, so that tokens issued before a change of the
//! idle age keep their meaning.

use super::keys::KeyRing;
use crate::cluster::{PinLoss, UpstreamId};
use crate::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::time::Duration;

/// The length of a token's text.
pub const TOKEN_LEN: usize = 56;

const VERSION: u8 = 1;
const BODY: usize = 26;
const TAG: usize = 16;
const BYTES: usize = BODY + TAG;

/// A signed token as clients carry it: 56 characters of base64url, safe in a cookie, a header or a URL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; TOKEN_LEN]);

impl Token {
    /// The text as bytes, all of them ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Base64 is ASCII, so this never falls back; the check costs a few nanoseconds on a first visit.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    /// Does not print the token: logs are read by more people than cookies are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The contents of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Claims {
    pub(crate) key: u8,
    pub(crate) upstream: UpstreamId,
    pub(crate) session_id: u64,
    pub(crate) issued: u32,
    pub(crate) window: u16,
    pub(crate) incarnation: u16,
    /// The length of a window: 2^scale seconds.
    pub(crate) scale: u8,
}

impl Claims {
    /// For how many whole windows before `now` the session made no request.
    pub(crate) fn idle_windows(&self, now: Timestamp) -> u64 {
        let age = now.as_secs().saturating_sub(u64::from(self.issued));
        (age >> self.scale).saturating_sub(u64::from(self.window) + 1)
    }

    /// For how long it made no request, at least.
    pub(crate) fn idle(&self, now: Timestamp) -> Duration {
        let seen = u64::from(self.issued) + ((u64::from(self.window) + 1) << self.scale);
        Duration::from_secs(now.as_secs().saturating_sub(seen))
    }

    fn to_body(self) -> [u8; BODY] {
        let mut body = [0; BODY];
        body[0] = VERSION << 4 | self.key;
        body[1..9].copy_from_slice(&self.upstream.0.to_be_bytes());
        body[9..17].copy_from_slice(&self.session_id.to_be_bytes());
        body[17..21].copy_from_slice(&self.issued.to_be_bytes());
        body[21..23].copy_from_slice(&self.window.to_be_bytes());
        body[23..25].copy_from_slice(&self.incarnation.to_be_bytes());
        body[25] = self.scale;
        body
    }

    fn from_body(body: &[u8; BODY]) -> Result<Self, PinLoss> {
        let [
            head,
            u0,
            u1,
            u2,
            u3,
            u4,
            u5,
            u6,
            u7,
            n0,
            n1,
            n2,
            n3,
            n4,
            n5,
            n6,
            n7,
            t0,
            t1,
            t2,
            t3,
            w0,
            w1,
            i0,
            i1,
            flags,
        ] = *body;
        if flags > 31 {
            // Signed, so a newer proxy of this pool issued it.
            return Err(PinLoss::OtherVersion);
        }
        Ok(Self {
            key: head & 15,
            upstream: UpstreamId(u64::from_be_bytes([u0, u1, u2, u3, u4, u5, u6, u7])),
            session_id: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            issued: u32::from_be_bytes([t0, t1, t2, t3]),
            window: u16::from_be_bytes([w0, w1]),
            incarnation: u16::from_be_bytes([i0, i1]),
            scale: flags,
        })
    }

    /// Signs these claims with the key they name; `None` where the ring does not have it.
    pub(crate) fn sign(self, keys: &KeyRing) -> Option<Token> {
        let body = self.to_body();
        let tag = keys.tag(self.key, &body)?;
        let mut bytes = [0; BYTES];
        bytes[..BODY].copy_from_slice(&body);
        bytes[BODY..].copy_from_slice(&tag[..TAG]);
        let mut text = [0; TOKEN_LEN];
        // 42 bytes are 56 characters: it always fits.
        URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).ok()?;
        Some(Token(text))
    }

    /// Reads a token; uses nothing of it before its tag is verified.
    ///
    /// First the cheap checks that need no secret (length, alphabet, version, key id), then the tag in constant time.
    /// Lifetimes and the upstream are checked by the caller, on claims that are known to be authentic.
    pub(crate) fn verify(text: &[u8], keys: &KeyRing) -> Result<Self, PinLoss> {
        let bytes = text.try_into().ok().and_then(decode).ok_or(PinLoss::Malformed)?;
        if bytes[0] >> 4 != VERSION {
            return Err(PinLoss::OtherVersion);
        }
        let (Some(body), Some(tag)) = (bytes.first_chunk::<BODY>(), bytes.last_chunk::<TAG>()) else {
            return Err(PinLoss::Malformed);
        };
        keys.verify(body[0] & 15, body, tag)?;
        Self::from_body(body)
    }
}

/// Marks characters outside base64url.
const NONE: u8 = 0x80;

/// The six bits that a character stands for, or [`NONE`].
const DIGITS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut digits = [NONE; 256];
    let mut digit = 0;
    while digit < alphabet.len() {
        digits[alphabet[digit] as usize] = digit as u8;
        digit += 1;
    }
    digits
};

/// Decodes a token of the fixed length: a quarter of the cost of a decoder for any length. Every request has one to
/// decode.
fn decode(text: &[u8; TOKEN_LEN]) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    let mut seen = 0;
    for (three, four) in bytes.as_chunks_mut::<3>().0.iter_mut().zip(text.as_chunks::<4>().0) {
        let digits = four.map(|character| DIGITS[usize::from(character)]);
        seen |= digits[0] | digits[1] | digits[2] | digits[3];
        let bits = digits.iter().fold(0, |bits, digit| bits << 6 | u32::from(*digit));
        let [_, first, second, third] = bits.to_be_bytes();
        *three = [first, second, third];
    }
    (seen & NONE == 0).then_some(bytes)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
