//! Validates `host:port`, the form of upstream addresses.

use std::net::{IpAddr, Ipv6Addr};

/// Whether `address` is an IP address (IPv6 in brackets) or a DNS name, followed by a port from 1 to 65,535.
pub fn is_host_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let port_is_number = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    port_is_number && is_host(host)
}

fn is_host(host: &str) -> bool {
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.strip_suffix(']').is_some_and(|addr| addr.parse::<Ipv6Addr>().is_ok());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    // A last label of digits only is not a domain (RFC 3696): such text must parse as an IPv4 address.
    let last_is_number = name.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    match host.parse::<IpAddr>() {
        Ok(addr) => addr.is_ipv4(),
        Err(_) => name.len() <= 253 && !last_is_number && name.split('.').all(is_label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "127.0.0.1:9001",
            "[::1]:65535",
            "[2001:db8::1]:1",
            "localhost:80",
            "app-1.internal:9001",
            "app_1:9001",
            "example.com.:443",
            "1and1.com:80",
        ] {
            assert!(is_host_port(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "app",
            "app:",
            "app:0",
            "app:+80",
            "app:65536",
            "app:http",
            "::1:80",
            "[::1]",
            "[127.0.0.1]:80",
            "[::1:80",
            "300.1.1.1:80",
            "1.2.3:80",
            "1.2.3.4.:80",
            "http://app:80",
            "app/x:80",
            "a..b:80",
            "-.é:80",
            "a b:80",
            &format!("{}:80", "l".repeat(64)),
        ] {
            assert!(!is_host_port(bad), "{bad}");
        }
    }
}
