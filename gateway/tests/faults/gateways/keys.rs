//! The fleet's keys, as their operator writes them down.

use crate::session::Session;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

#[derive(Clone, Copy, PartialEq)]
pub enum Use {
    Sign,
    Verify,
}

/// The text of a key file with these keys, whose secrets follow from their ids.
pub fn keys(ring: &[(u8, Use)]) -> String {
    let key = |(id, what): &(u8, Use)| {
        let (secret, what) = (STANDARD.encode([*id; 32]), if *what == Use::Sign { "sign" } else { "verify" });
        format!("[[key]]\nid = {id}\nsecret = \"{secret}\"\nuse = \"{what}\"\n")
    };
    let keys: String = ring.iter().map(key).collect();
    format!("identity = \"{}\"\n{keys}", STANDARD.encode([77; 32]))
}

/// Which key signed the session's token.
pub fn key_of(session: &Session) -> Option<u8> {
    let cookies = session.cookies();
    let token = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("homing="))?;
    Some(URL_SAFE_NO_PAD.decode(token).ok()?.first()? & 15)
}
