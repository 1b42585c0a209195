//! HAProxy: `cookie`, with configured or `dynamic` values.

use super::Secret;
use std::net::{IpAddr, SocketAddr};
use twox_hash::XxHash64;

/// The key, the address in network order and the port as a big-endian number of 32 bits, hashed with seed 0.
pub(super) fn dynamic(key: &Secret, address: &str) -> Option<String> {
    let address: SocketAddr = address.parse().ok()?;
    let mut message = key.0.to_vec();
    match address.ip() {
        IpAddr::V4(ip) => message.extend(ip.octets()),
        IpAddr::V6(ip) => message.extend(ip.octets()),
    }
    message.extend(u32::from(address.port()).to_be_bytes());
    Some(format!("{:016x}", XxHash64::oneshot(0, &message)))
}

/// The value itself, since names may have these characters, and what precedes the first of each.
pub(super) fn readings(value: &[u8]) -> [&[u8]; 3] {
    let before = |end: u8| value.iter().position(|byte| *byte == end).map_or(&b""[..], |end| &value[..end]);
    [value, before(b'|'), before(b'~')]
}
