//! Forwarding headers for the upstream: `X-Forwarded-For` and `Forwarded`.

use std::io::Write;
use std::net::IpAddr;

use super::cookie_name::is_token_char;

/// The last hop of a request, from the peer to this proxy.
///
/// The value from a trusted peer is kept and this hop appended; the value from any other peer is spoofable and
/// replaced. Write each value into a buffer, and set it in place of all field lines of that name.
///
/// ```
/// use std::net::IpAddr;
/// use homing::http::Hop;
///
/// let peer = IpAddr::from([10, 0, 0, 7]);
/// let mut value = Vec::new();
/// let hop = Hop { peer, peer_trusted: true, https: true, host: Some(b"example.com") };
/// hop.write_x_forwarded_for([&b"203.0.113.9"[..]], &mut value);
/// assert_eq!(value, b"203.0.113.9, 10.0.0.7");
///
/// value.clear();
/// hop.write_forwarded([], &mut value);
/// assert_eq!(value, b"for=10.0.0.7;proto=https;host=example.com");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The peer's address; an IPv4-mapped IPv6 address is written as IPv4.
    pub peer: IpAddr,
    /// Whether the peer is one of the [`TrustedProxies`](super::TrustedProxies).
    pub peer_trusted: bool,
    /// Whether the request came over TLS.
    pub https: bool,
    /// The request's `Host`. Omitted if empty or not valid in a field value.
    pub host: Option<&'a [u8]>,
}

impl Hop<'_> {
    /// Appends the `X-Forwarded-For` value to `out`; `received` yields the field lines from the peer.
    pub fn write_x_forwarded_for<'h>(&self, received: impl IntoIterator<Item = &'h [u8]>, out: &mut Vec<u8>) {
        self.write_received(received, out);
        self.write_peer(out);
    }

    /// Appends the `Forwarded` value (RFC 7239) to `out`; `received` yields the field lines from the peer.
    pub fn write_forwarded<'h>(&self, received: impl IntoIterator<Item = &'h [u8]>, out: &mut Vec<u8>) {
        self.write_received(received, out);
        out.extend_from_slice(b"for=");
        if self.peer.to_canonical().is_ipv6() {
            out.extend_from_slice(b"\"[");
            self.write_peer(out);
            out.extend_from_slice(b"]\"");
        } else {
            self.write_peer(out);
        }
        out.extend_from_slice(if self.https { b";proto=https" } else { b";proto=http" });
        if let Some(host) = self.host.filter(|host| is_quotable(host)) {
            out.extend_from_slice(b";host=");
            write_value(host, out);
        }
    }

    fn write_received<'h>(&self, received: impl IntoIterator<Item = &'h [u8]>, out: &mut Vec<u8>) {
        if self.peer_trusted {
            for line in received.into_iter().map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
                out.extend_from_slice(line);
                out.extend_from_slice(b", ");
            }
        }
    }

    fn write_peer(&self, out: &mut Vec<u8>) {
        // Writing to a `Vec` never fails.
        let _ = write!(out, "{}", self.peer.to_canonical());
    }
}

fn is_quotable(host: &[u8]) -> bool {
    !host.is_empty() && host.iter().all(|&b| b == b'\t' || !b.is_ascii_control())
}

/// Writes a value by RFC 7239: a token unchanged, anything else as a quoted string.
fn write_value(value: &[u8], out: &mut Vec<u8>) {
    if value.iter().all(|&b| is_token_char(char::from(b))) {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for &byte in value {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(peer: &str, peer_trusted: bool) -> Hop<'static> {
        Hop { peer: peer.parse().unwrap(), peer_trusted, https: false, host: None }
    }

    fn x_forwarded_for(hop: Hop<'_>, received: &[&str]) -> String {
        let mut out = Vec::new();
        hop.write_x_forwarded_for(received.iter().map(|line| line.as_bytes()), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn forwarded(hop: Hop<'_>, received: &[&str]) -> String {
        let mut out = Vec::new();
        hop.write_forwarded(received.iter().map(|line| line.as_bytes()), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_trusted_peers_list_grows() {
        let trusted = hop("10.0.0.1", true);
        assert_eq!(x_forwarded_for(trusted, &[]), "10.0.0.1");
        assert_eq!(x_forwarded_for(trusted, &["203.0.113.9", "", " 10.0.0.2 "]), "203.0.113.9, 10.0.0.2, 10.0.0.1");
        assert_eq!(forwarded(trusted, &["for=a", "for=b"]), "for=a, for=b, for=10.0.0.1;proto=http");
    }

    #[test]
    fn any_other_peers_list_is_replaced() {
        let stranger = hop("203.0.113.9", false);
        assert_eq!(x_forwarded_for(stranger, &["127.0.0.1"]), "203.0.113.9");
        assert_eq!(forwarded(stranger, &["for=127.0.0.1;proto=https"]), "for=203.0.113.9;proto=http");
    }

    #[test]
    fn ipv6_is_bare_in_one_and_bracketed_in_the_other() {
        let v6 = hop("2001:db8::1", false);
        assert_eq!(x_forwarded_for(v6, &[]), "2001:db8::1");
        assert_eq!(forwarded(v6, &[]), "for=\"[2001:db8::1]\";proto=http");
        let mapped = hop("::ffff:1.2.3.4", false);
        assert_eq!(x_forwarded_for(mapped, &[]), "1.2.3.4");
        assert_eq!(forwarded(mapped, &[]), "for=1.2.3.4;proto=http");
    }

    #[test]
    fn hosts_are_quoted_where_they_need_it_and_inject_nothing() {
        for (host, expected) in [
            ("example.com", ";host=example.com"),
            ("example.com:8080", ";host=\"example.com:8080\""),
            ("[::1]:80", ";host=\"[::1]:80\""),
            ("a;b=c,\"d\\", ";host=\"a;b=c,\\\"d\\\\\""),
            ("", ""),
            ("a\r\nb: c", ""),
        ] {
            let hop = Hop { https: true, host: Some(host.as_bytes()), ..hop("1.2.3.4", false) };
            assert_eq!(forwarded(hop, &[]), format!("for=1.2.3.4;proto=https{expected}"), "{host:?}");
        }
    }
}
