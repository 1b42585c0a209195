//! nginx: `sticky cookie`, `sticky route`, and maps of a cookie.

/// The address as nginx prints it, hashed. Rust prints IPv6 addresses in the same shortest form.
#[cfg(feature = "http")]
pub(super) fn md5(address: &str) -> Option<String> {
    use md5::{Digest, Md5};
    let address: std::net::SocketAddr = address.parse().ok()?;
    Some(super::hex(&Md5::digest(address.to_string())))
}

/// The value itself, and what follows its first and its last dot: names have dots too, and so have the ids of some
/// applications.
pub(super) fn route(value: &[u8]) -> [&[u8]; 3] {
    let is_dot = |byte: &u8| *byte == b'.';
    let behind = |dot: Option<usize>| dot.map_or(&b""[..], |dot| &value[dot + 1..]);
    [value, behind(value.iter().position(is_dot)), behind(value.iter().rposition(is_dot))]
}
