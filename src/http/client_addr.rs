//! The client's address: the peer's, or the one that trusted proxies forward.
//!
//! `X-Forwarded-For` grows to the right: each proxy appends the address of its peer. The left end is arbitrary input
//! from the client, so the list is read from the right, as long as each hop is a trusted proxy. The first hop that is
//! not is the client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// The most hops of `X-Forwarded-For` that are read in one request.
const MAX_HOPS: usize = 64;

/// The longest hop that is parsed, in bytes: an IPv6 address with brackets, port and quotes, and room for leading
/// zeros and a scope.
const MAX_HOP_LEN: usize = 72;

/// An address range such as `10.0.0.0/8` or `2001:db8::/32`, or one address.
///
/// IPv4-mapped IPv6 ranges (`::ffff:10.0.0.0/104`) are the IPv4 ranges that they map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr(IpNet);

impl Cidr {
    /// Whether the range contains `addr`, which must be canonical (not IPv4-mapped).
    fn contains(&self, addr: IpAddr) -> bool {
        self.0.contains(&addr)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        if let Ok(addr) = text.parse::<IpAddr>() {
            return Ok(Self(addr.to_canonical().into()));
        }
        // ipnet reads numbers with leading zeros as decimal, other parsers as octal; the standard library refuses them.
        let is_plain = text.split_once('/').is_some_and(|(addr, _)| addr.parse::<IpAddr>().is_ok());
        let net = text.parse().ok().filter(|_: &IpNet| is_plain);
        let net = net.ok_or_else(|| CidrError::Syntax { text: text.to_owned() })?;
        if net != net.trunc() {
            return Err(CidrError::HostBits { net: net.trunc().to_string(), addr: net.addr() });
        }
        Ok(Self(canonical(net)))
    }
}

fn canonical(net: IpNet) -> IpNet {
    net.prefix_len()
        .checked_sub(96)
        .and_then(|prefix_len| match net.addr().to_canonical() {
            addr @ IpAddr::V4(_) if net.addr().is_ipv6() => IpNet::new(addr, prefix_len).ok(),
            _ => None,
        })
        .unwrap_or(net)
}

/// Why an address range was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidrError {
    /// The text is neither an address nor a range.
    #[error("{text:?} is no address range; write one like \"10.0.0.0/8\", \"::1/128\" or a single address")]
    Syntax {
        /// The text.
        text: String,
    },
    /// The address has bits beyond the prefix, so it is ambiguous: the host or its network.
    #[error("has bits beyond its prefix; write \"{net}\" for the network or \"{addr}\" for the one address")]
    HostBits {
        /// The network.
        net: String,
        /// The address.
        addr: IpAddr,
    },
}

/// The proxies in front of this one whose `X-Forwarded-For` is trusted; none by default.
///
/// ```
/// use std::net::IpAddr;
/// use homing::http::TrustedProxies;
///
/// let proxies = TrustedProxies::parse(["10.0.0.0/8", "::1"])?;
/// let peer = IpAddr::from([10, 0, 0, 7]);
/// let spoofed = &b"127.0.0.1, 203.0.113.9, 10.0.0.3"[..];
/// assert_eq!(proxies.client_addr(peer, [spoofed].into_iter()), IpAddr::from([203, 0, 113, 9]));
/// # Ok::<(), homing::http::CidrError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// Parses a list of address ranges and addresses.
    ///
    /// # Errors
    /// [`CidrError`] for the first text that is neither.
    pub fn parse<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> Result<Self, CidrError> {
        list.into_iter().map(|text| text.as_ref().parse()).collect()
    }

    /// Whether `addr` is a trusted proxy. An IPv4-mapped IPv6 address counts as its IPv4 address.
    ///
    /// Costs one comparison a range.
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.0.iter().any(|range| range.contains(addr))
    }

    /// The address of the client of a request from `peer`. `forwarded_for` yields the values of the request's
    /// `X-Forwarded-For` lines in order; several lines form one list.
    ///
    /// An untrusted peer is the client. Behind a trusted peer the client is the rightmost hop that is not trusted, or
    /// the leftmost hop if all are trusted. Reading stops at a hop that is not an address, since the hops to its left
    /// cannot be traced, and after 64 hops; then the last trusted address is returned. A hop may have a port, and an
    /// IPv6 address may be in brackets and quotes.
    ///
    /// Never returns an IPv4-mapped IPv6 address. Does not allocate.
    pub fn client_addr<'a>(&self, peer: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>) -> IpAddr {
        let mut client = peer.to_canonical();
        let mut hops = forwarded_for.rev().flat_map(|line| line.rsplit(|&b| b == b',')).take(MAX_HOPS);
        while self.contains(client)
            && let Some(hop) = hops.next().and_then(parse_hop)
        {
            client = hop.to_canonical();
        }
        client
    }
}

impl FromIterator<Cidr> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = Cidr>>(ranges: I) -> Self {
        Self(ranges.into_iter().collect())
    }
}

/// Parses `1.2.3.4`, `1.2.3.4:567`, `::1`, `[::1]` and `[::1]:567`, each quoted or not.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = hop.trim_ascii();
    if hop.len() > MAX_HOP_LEN {
        return None;
    }
    let hop = std::str::from_utf8(hop).ok()?;
    let hop = hop.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(hop);
    if let Ok(addr) = hop.parse::<IpAddr>() {
        return Some(addr);
    }
    if let Ok(addr) = hop.parse::<SocketAddr>() {
        return Some(addr.ip());
    }
    let bracketed = hop.strip_prefix('[')?.strip_suffix(']')?;
    bracketed.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let proxies = TrustedProxies::parse(trusted).unwrap();
        proxies.client_addr(peer.parse().unwrap(), lines.iter().map(|line| line.as_bytes())).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(client(&[], "203.0.113.9", &["10.0.0.1"]), "203.0.113.9");
        assert_eq!(client(&["10.0.0.0/8"], "203.0.113.9", &["10.0.0.1, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(client(&[], "::ffff:203.0.113.9", &[]), "203.0.113.9");
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_untrusted_hop_is_the_client() {
        let ten = &["10.0.0.0/8"];
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&["203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (&["198.51.100.1,203.0.113.9 ,\t10.0.0.2"], "203.0.113.9"),
            (&["198.51.100.1", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["::ffff:203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
        ] {
            assert_eq!(client(ten, "10.0.0.1", lines), expected, "{lines:?}");
        }
        assert_eq!(client(ten, "::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn what_the_client_sent_itself_is_never_reached() {
        let ten = &["10.0.0.0/8"];
        for forged in ["127.0.0.1", "10.9.9.9, 10.9.9.9", "garbage", "", ",,,", "\"203.0.113.1, "] {
            let line = format!("{forged}, 203.0.113.9, 10.0.0.2");
            assert_eq!(client(ten, "10.0.0.1", &[&line]), "203.0.113.9");
            assert_eq!(client(ten, "10.0.0.1", &[forged, "203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_list() {
        let ten = &["10.0.0.0/8"];
        for broken in [
            "",
            " ",
            "unknown",
            "_hidden",
            "10.0.0",
            "10.0.0.1.2",
            "010.0.0.1",
            "10.0.0.1:",
            "10.0.0.1:99999",
            "10.0.0.1/8",
            "[10.0.0.1]",
            "::1:",
            "[::1",
            "::1]",
            "\"10.0.0.1",
            "10.0.0.1;",
            "é",
            &"1".repeat(5000),
        ] {
            let line = format!("198.51.100.1, {broken}, 10.0.0.2");
            assert_eq!(client(ten, "10.0.0.1", &[&line]), "10.0.0.2", "{broken:?}");
        }
    }

    #[test]
    fn hops_may_have_ports_brackets_and_quotes() {
        for (hop, expected) in [
            ("1.2.3.4", "1.2.3.4"),
            ("1.2.3.4:567", "1.2.3.4"),
            ("\"1.2.3.4:567\"", "1.2.3.4"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::1]:567", "::1"),
            ("\"[::1]\"", "::1"),
            ("\"[2001:db8::1]:567\"", "2001:db8::1"),
            ("[::ffff:1.2.3.4]:567", "1.2.3.4"),
        ] {
            assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[hop]), expected, "{hop:?}");
        }
    }

    #[test]
    fn at_most_64_hops_are_looked_at() {
        let list = |hops: usize| {
            let trusted = (0..hops).rev().map(|i| format!("10.0.1.{i}"));
            let list: Vec<_> = std::iter::once("203.0.113.9".to_owned()).chain(trusted).collect();
            client(&["10.0.0.0/8"], "10.0.0.1", &[&list.join(",")])
        };
        assert_eq!(list(63), "203.0.113.9");
        assert_eq!(list(64), "10.0.1.63");
        assert_eq!(list(200), "10.0.1.63");
    }

    #[test]
    fn ranges() {
        let contains =
            |range: &str, addr: &str| TrustedProxies::parse([range]).unwrap().contains(addr.parse().unwrap());
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.1/32", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::/0", "2001:db8::1", "::ffff:203.0.113.9"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("::ffff:10.0.0.0/104", "10.0.0.1", "11.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ] {
            assert!(contains(range, inside), "{range} {inside}");
            assert!(!contains(range, outside), "{range} {outside}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "localhost", "10.0.0.0/8 ", "010.0.0.0/8", "::/129"]
        {
            let refused = TrustedProxies::parse(["10.0.0.1", text]);
            assert_eq!(refused, Err(CidrError::Syntax { text: text.to_owned() }));
        }
        let ambiguous = "10.0.0.1/8".parse::<Cidr>().unwrap_err();
        assert!(ambiguous.to_string().contains("\"10.0.0.0/8\" for the network or \"10.0.0.1\""), "{ambiguous}");
    }
}
