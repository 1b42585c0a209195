//! Caddy: `lb_policy cookie`.

use super::{Secret, hex};
use crate::affinity::mac::MacKey;

pub(super) fn value(secret: &Secret, address: &str) -> String {
    hex(&MacKey::new(&secret.0).tag(address.as_bytes()))
}
