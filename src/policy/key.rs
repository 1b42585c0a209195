//! The input of hash policies: the session's key, or its substitute.

use crate::cluster::Session;
use crate::hash::{hash_bytes, mix64};
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv6Addr};

/// The key of `session`: its own, else the client's address as text, else the bytes of its session id. Text is written
/// into `text`, so that nothing is allocated.
pub(super) fn hash_key<'a>(session: &Session<'a>, text: &'a mut Text) -> &'a [u8] {
    match (session.key, session.client) {
        (Some(key), _) => return key,
        (None, Some(IpAddr::V4(address))) => text.dotted(address.octets()),
        (None, Some(IpAddr::V6(address))) => text.colons(address),
        (None, None) => text.push(&session.session_id.to_be_bytes()),
    }
    text.as_bytes()
}

/// A 64-bit hash of the key of `session`: of its own key, else of the client's address, else of its session id. Equal
/// on every proxy.
pub(crate) fn point(session: &Session<'_>) -> u64 {
    match (session.key, session.client.map(|client| client.to_canonical())) {
        (Some(key), _) => hash_bytes(key),
        (None, Some(IpAddr::V4(address))) => hash_bytes(&address.octets()),
        (None, Some(IpAddr::V6(address))) => hash_bytes(&address.octets()),
        (None, None) => mix64(session.session_id),
    }
}

/// A short text on the stack; text that does not fit is truncated.
pub(super) struct Text {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl Text {
    /// The longest address: eight groups of four digits and the colons between them.
    const CAPACITY: usize = 39;

    pub(super) const fn new() -> Self {
        Self { bytes: [0; Self::CAPACITY], length: 0 }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        for (to, byte) in self.bytes[self.length..].iter_mut().zip(bytes) {
            *to = *byte;
            self.length += 1;
        }
    }

    /// A number below 1000 in decimal digits.
    pub(super) fn decimal(&mut self, number: u8) {
        let digits = [number / 100, number / 10 % 10, number % 10].map(|digit| b'0' + digit);
        let zeros = usize::from(number < 100) + usize::from(number < 10);
        self.push(&digits[zeros..]);
    }

    fn dotted(&mut self, octets: [u8; 4]) {
        for (i, octet) in octets.into_iter().enumerate() {
            if i > 0 {
                self.push(b".");
            }
            self.decimal(octet);
        }
    }

    /// Writes an address as nginx writes `$remote_addr` (`ngx_inet6_ntop`): the first of the longest runs of zeros
    /// becomes `::`, and addresses that hold an IPv4 one end in its dotted form, more of them than by RFC 5952.
    fn colons(&mut self, address: Ipv6Addr) {
        let groups = address.segments();
        let run_at = |start: usize| groups[start..].iter().take_while(|group| **group == 0).count();
        // Of equal runs `max_by_key` returns the last, so it searches from the end.
        let (start, zeros) = (0..8).map(|at| (at, run_at(at))).rev().max_by_key(|(_, run)| *run).unwrap_or_default();
        if zeros < 2 {
            return self.groups(&groups);
        }
        let octets = address.octets();
        let holds_v4 = start == 0
            && match zeros {
                5 => groups[5] == 0xffff,
                6 => true,
                7 => octets[14] != 0 && octets[15] != 1,
                _ => false,
            };
        self.groups(&groups[..start]);
        self.push(b"::");
        match (holds_v4, zeros) {
            (false, _) => self.groups(&groups[start + zeros..]),
            (true, 5) => self.push(b"ffff:"),
            (true, _) => {}
        }
        if holds_v4 {
            self.dotted([octets[12], octets[13], octets[14], octets[15]]);
        }
    }

    fn groups(&mut self, groups: &[u16]) {
        for (i, group) in groups.iter().enumerate() {
            let colon = if i > 0 { ":" } else { "" };
            // Writing cannot fail: see `write_str`.
            let _ = write!(self, "{colon}{group:x}");
        }
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::conformance::session;
    use proptest::prelude::*;

    fn text(address: impl Into<IpAddr>) -> String {
        let session = Session { client: Some(address.into()), ..session(0) };
        String::from_utf8(hash_key(&session, &mut Text::new()).to_vec()).unwrap()
    }

    #[test]
    fn the_key_comes_first_then_the_address_then_the_session_id() {
        let keyed = Session { key: Some(b"key"), ..session(0) };
        assert_eq!(hash_key(&keyed, &mut Text::new()), b"key");
        assert_eq!(hash_key(&Session { key: Some(b""), ..session(0) }, &mut Text::new()), b"");
        let stranger = Session { client: None, session_id: 0x0102_0304_0506_0708, ..session(0) };
        assert_eq!(hash_key(&stranger, &mut Text::new()), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn addresses_are_written_as_nginx_writes_them() {
        // Where nginx departs from RFC 5952: addresses of IPv4's first form, deprecated by RFC 4291.
        for (address, written) in [
            ("::c000:221", "::192.0.2.33"),
            ("::102:304", "::1.2.3.4"),
            ("::ffff", "::0.0.255.255"),
            ("::ff01", "::ff01"),
            ("::ff", "::ff"),
            ("::1", "::1"),
            ("::", "::"),
        ] {
            assert_eq!(text(address.parse::<Ipv6Addr>().unwrap()), written);
        }
        let longest = "2001:1db8:1111:2222:3333:4444:5555:6666";
        assert_eq!(text(longest.parse::<Ipv6Addr>().unwrap()), longest);
    }

    proptest! {
        #[test]
        fn other_addresses_are_written_as_everybody_writes_them(
            v4: u32,
            v6 in prop::array::uniform8(prop_oneof![Just(0_u16), any::<u16>()]),
        ) {
            let v4 = std::net::Ipv4Addr::from_bits(v4);
            prop_assert_eq!(text(v4), v4.to_string());
            prop_assert_eq!(text(v4.to_ipv6_mapped()), format!("::ffff:{v4}"));
            let v6 = Ipv6Addr::from(v6);
            if v6.segments()[..6] != [0; 6] {
                prop_assert_eq!(text(v6), v6.to_string());
            }
        }
    }
}
