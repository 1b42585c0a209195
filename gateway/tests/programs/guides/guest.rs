//! Users with a session: each has an address, a browser that keeps all cookies, and an instance with the session.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use crate::support::client::{Response, connect_from, request};
use crate::support::visitor::COOKIE;

#[derive(Clone)]
pub struct Guest {
    address: Ipv4Addr,
    /// Its request target, and field lines of its requests.
    target: String,
    fields: String,
    pub cookies: BTreeMap<String, String>,
    /// The instance that has its session.
    pub home: String,
}

/// By name, of the lines of `Cookie`, or of what `Set-Cookie` begins with.
pub fn cookies(lines: &[String]) -> BTreeMap<String, String> {
    let pairs = lines.iter().flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Guest {
    /// The n-th user, without a session yet. Its key is in its target, in a field and in its address, so that no two
    /// users have equal keys.
    pub fn new(n: u8) -> Self {
        Self {
            address: Ipv4Addr::new(127, n / 8 + 1, n.wrapping_mul(37), n),
            target: format!("/u{n}?tenant=t{n}"),
            fields: format!("X-User: u{n}\r\n"),
            cookies: BTreeMap::new(),
            home: String::new(),
        }
    }

    /// The n-th user behind a proxy that reports the address.
    pub fn forwarded(n: u8) -> Self {
        let fields = format!("X-Forwarded-For: 192.0.2.1, 203.{n}.113.9\r\n");
        Self { address: Ipv4Addr::LOCALHOST, fields, ..Self::new(n) }
    }

    /// Field lines of its requests, its cookies among them.
    pub fn fields(&self) -> String {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = (!cookies.is_empty()).then(|| format!("Cookie: {}\r\n", cookies.join("; ")));
        format!("{}{}", self.fields, cookies.unwrap_or_default())
    }

    /// Requests its page, and keeps the cookies that are set.
    pub fn visit(&mut self, front: SocketAddr) -> Response {
        let mut wire = connect_from(self.address.into(), front);
        let response = wire.exchange(request("GET", &self.target, &self.fields()));
        assert_eq!(response.status(), 200, "{response:?}");
        for cookie in response.head.all("set-cookie") {
            self.cookies.extend(cookies(&[cookie.split(';').next().unwrap_or_default().to_owned()]));
        }
        response
    }

    /// Begins a session, which is found again by the next request.
    pub fn arrive(&mut self, front: SocketAddr) {
        let first = self.visit(front).text();
        self.home = first.strip_suffix(" new").unwrap_or_else(|| panic!("a first visit, and {first:?}")).to_owned();
        assert!(self.is_at_home(front), "{} is not found again by what comes first", self.home);
    }

    /// Whether its session is still there.
    pub fn is_at_home(&mut self, front: SocketAddr) -> bool {
        self.visit(front).text() == format!("{} kept", self.home)
    }

    pub fn has_ours(&self) -> bool {
        self.cookies.contains_key(COOKIE)
    }
}

/// The number of users whose session was not found.
pub fn astray(guests: &mut [Guest], front: SocketAddr) -> usize {
    guests.iter_mut().map(|guest| usize::from(!guest.is_at_home(front))).sum()
}
