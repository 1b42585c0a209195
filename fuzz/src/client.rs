//! Client addresses: `TrustedProxies` against a naive walk over a list, and against the view of the next proxy; and the
//! text form of [`RequestKey`].
//!
//! The lines of an input are the ranges of trusted proxies, the peer's address, a [`RequestKey`], a target, and the
//! `X-Forwarded-For` lines.

use homing::http::{Hop, RequestKey, TrustedProxies};
use std::net::IpAddr;

/// The address of this proxy, as the next proxy sees it.
const US: &str = "127.9.9.9";
/// One hop less than the library reads, since this proxy appends one.
const MAX_HOPS: usize = 63;

/// The longest hop that the library parses, in bytes.
const MAX_HOP: usize = 72;

/// Whether an address is within a range, given as text.
pub type Within = fn(IpAddr, &str) -> bool;

/// Panics if the client's address differs from that of the naive walk, or from what the next proxy finds.
pub fn check(data: &[u8]) {
    check_against(data, within);
}

/// As [`check`], with another implementation of ranges.
pub fn check_against(data: &[u8], within: Within) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut text = || lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let (ranges, peer, key, target) = (text(), text(), text(), text());
    // Proxies drop empty lines, which would end the list.
    let received: Vec<&[u8]> = lines.filter(|line| !line.trim_ascii().is_empty()).collect();
    request_key(key, target);

    let ranges: Vec<&str> = ranges.split(' ').chain([US]).collect();
    let (Ok(proxies), Ok(peer)) = (TrustedProxies::parse(&ranges), peer.parse::<IpAddr>()) else { return };
    let trusted = |address: IpAddr| ranges.iter().any(|range| within(address, range));
    assert_eq!(proxies.contains(peer), trusted(peer), "{peer} in {ranges:?}");

    let all = received.join(&b',');
    let hops: Vec<&[u8]> = all.split(|byte| *byte == b',').collect();
    if hops.len() > MAX_HOPS {
        return;
    }
    let mut client = peer.to_canonical();
    for hop in hops.into_iter().rev() {
        match hop_address(hop) {
            Some(address) if trusted(client) => client = address.to_canonical(),
            _ => break,
        }
    }
    assert_eq!(proxies.client_addr(peer, received.iter().copied()), client, "{peer}, {}", all.escape_ascii());

    let mut sent = Vec::new();
    let hop = Hop { peer, peer_trusted: proxies.contains(peer), https: false, host: None };
    hop.write_x_forwarded_for(received.iter().copied(), &mut sent);
    let further = proxies.client_addr(US.parse().unwrap(), [&sent[..]].into_iter());
    assert_eq!(further, client, "one proxy further, by {}", sent.escape_ascii());
}

/// Compares bits. IPv4 and IPv6 are disjoint, except for IPv4-mapped IPv6 addresses.
pub fn within(address: IpAddr, range: &str) -> bool {
    let (network, prefix) = range.split_once('/').map_or((range, None), |(network, prefix)| (network, Some(prefix)));
    let Ok(network) = network.parse::<IpAddr>() else { return false };
    let (ours, theirs) = (bits(address), bits(network));
    let length = if network.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(length, |prefix| prefix.parse().unwrap());
    // As 128 bits, an IPv4 range is a range of mapped addresses.
    let prefix = prefix + 128 - length;
    let apart = address.to_canonical().is_ipv4() && prefix < 96;
    !apart && (0..prefix).all(|bit| ours >> (127 - bit) & 1 == theirs >> (127 - bit) & 1)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Parses a hop: strips quotes, brackets and port one after the other.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim_matches(|c: char| c.is_ascii_whitespace());
    let hop = Some(hop).filter(|hop| hop.len() <= MAX_HOP)?;
    let hop = hop.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(hop);
    let (host, port) = match hop.rsplit_once(':') {
        Some((host, port))
            if host.starts_with('[') == host.ends_with(']') && (host.ends_with(']') || !host.contains(':')) =>
        {
            (host, Some(port))
        }
        _ => (hop, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err() || port.starts_with('+')) {
        return None;
    }
    let Some(rest) = host.strip_prefix('[') else { return host.parse().ok() };
    let inner = rest.strip_suffix(']')?;
    let (address, scope) = inner.split_once('%').map_or((inner, None), |(address, scope)| (address, Some(scope)));
    // The standard library parses numeric scopes if there is a port.
    let good = scope.is_none_or(|scope| port.is_some() && scope.parse::<u32>().is_ok() && !scope.starts_with('+'));
    address.parse().ok().filter(|address: &IpAddr| good && address.is_ipv6())
}

fn request_key(text: &str, target: &str) {
    let Ok(key) = text.parse::<RequestKey>() else { return };
    let said = key.to_string();
    assert!(said.eq_ignore_ascii_case(text), "{text} is said to be {said}");
    assert_eq!(said.parse(), Ok(key.clone()));
    let found = key.of(target, |_| [&b"first"[..], b"second"]);
    let path = target.split('?').next().unwrap_or_default();
    let expected = match &key {
        RequestKey::ClientIp => None,
        RequestKey::Uri => Some(target),
        RequestKey::Path => Some(path),
        RequestKey::Header(_) => Some("first"),
        // Neither field line, `first` nor `second`, is a `name=value` pair.
        RequestKey::Cookie(_) => None,
        RequestKey::Query(name) => {
            let query = target.get(path.len() + 1..).unwrap_or_default();
            query.split('&').find_map(|pair| pair.strip_prefix(&**name)?.strip_prefix('='))
        }
    };
    assert_eq!(found, expected.filter(|key| !key.is_empty()).map(str::as_bytes), "{said} of {target:?}");
}
