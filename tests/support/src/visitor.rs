//! A client with a cookie jar for the gateway's cookie.

use std::net::{SocketAddr, TcpStream};

use super::client::{Response, connect, request};
use super::head::Head;
use super::wire::Wire;

/// The name of the gateway's cookie by default.
pub const COOKIE: &str = "homing";

pub struct Visitor {
    address: SocketAddr,
    /// The `X-Visitor` field of its requests, which identifies them in the upstreams' logs.
    pub name: String,
    /// The value of the gateway's cookie.
    pub token: Option<String>,
    /// How often the gateway has set its cookie.
    pub given: usize,
}

/// The value of the gateway's cookie if a response sets it; panics if it is set twice.
pub fn token(head: &Head) -> Option<String> {
    let prefix = format!("{COOKIE}=");
    let set = head.all("set-cookie").into_iter().filter(|cookie| cookie.starts_with(&prefix)).collect::<Vec<_>>();
    assert!(set.len() < 2, "the cookie is set {} times in {head:?}", set.len());
    set.first().map(|cookie| cookie[prefix.len()..].split(';').next().unwrap_or_default().to_owned())
}

impl Visitor {
    pub fn new(address: SocketAddr, name: impl Into<String>) -> Self {
        Self { address, name: name.into(), token: None, given: 0 }
    }

    /// Visitors `v0`, `v1` and so on.
    pub fn several(address: SocketAddr, count: usize) -> Vec<Self> {
        (0..count).map(|number| Self::new(address, format!("v{number}"))).collect()
    }

    /// The field lines of its requests.
    pub fn fields(&self) -> String {
        let cookie = self.token.as_ref().map(|token| format!("Cookie: {COOKIE}={token}\r\n"));
        format!("X-Visitor: {}\r\n{}", self.name, cookie.unwrap_or_default())
    }

    /// Fetches `/` on a connection of its own.
    pub fn visit(&mut self) -> Response {
        self.visit_on(&mut connect(self.address))
    }

    /// Fetches `/` on a connection that several visitors may share.
    pub fn visit_on(&mut self, wire: &mut Wire<TcpStream>) -> Response {
        let response = wire.exchange(request("GET", "/", &self.fields()));
        self.keep(&response.head);
        response
    }

    /// Stores the cookie that a response sets.
    pub fn keep(&mut self, head: &Head) {
        if let Some(token) = token(head) {
            self.token = Some(token);
            self.given += 1;
        }
    }
}
