//! YARP: the affinity policies `HashCookie` and `ArrCookie`. Names are ASCII, so that upper and lower case need no
//! table.

use super::{hex, utf16};
use sha2::{Digest, Sha256};
use twox_hash::XxHash64;

pub(super) fn hash_cookie(name: &str) -> String {
    format!("{:016x}", XxHash64::oneshot(0, &utf16(&name.to_ascii_uppercase())))
}

pub(super) fn arr_cookie(name: &str) -> String {
    hex(&Sha256::digest(utf16(&name.to_ascii_lowercase()))).to_ascii_uppercase()
}
