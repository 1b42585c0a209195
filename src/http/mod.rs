//! Cookies and client addresses, on borrowed header bytes.
//!
//! Everything a host needs to carry an affinity token over HTTP, independent of its HTTP library. The module parses no
//! message and opens no token. Header values come in as `&[u8]`, one slice a field line, and go out as bytes; for hosts
//! with the crate `http`, `header_map` does the same on its `HeaderMap`.
//!
//! Files, in reading order:
//!
//! - `cookie_name.rs`: [`CookieName`], a validated cookie name.
//! - [`cookie`]: finds tokens in `Cookie` headers, and strips them before the headers are forwarded.
//! - [`set_cookie`]: the `Set-Cookie` value; its attributes are validated once, at configuration.
//! - [`client_addr`]: the client's address behind trusted proxies.
//! - [`RequestKey`] (`request_key.rs`): the part of a request that hash policies hash.
//! - [`forwarded`]: the `X-Forwarded-For` and `Forwarded` values for the upstream.
//! - `host_port.rs`: validates `host:port`.
//! - `header_map.rs`: all of that on a `HeaderMap`, with the features `hyper` and `proxy`.
//!
//! # Invariants
//!
//! - A token that was read never reaches the upstream: reading and stripping split `Cookie` headers by the same rule.
//! - A cookie that browsers would refuse is refused at configuration.
//! - `X-Forwarded-For` is read from the right and only across trusted hops, so a client cannot choose its address.

#![forbid(unsafe_code)]

pub mod client_addr;
pub mod cookie;
mod cookie_name;
pub mod forwarded;
#[cfg(any(feature = "hyper", feature = "proxy"))]
pub mod header_map;
mod host_port;
mod request_key;
pub mod set_cookie;

pub use client_addr::{Cidr, CidrError, TrustedProxies};
pub use cookie::{LegacyCookies, Stripped, Tokens};
pub use cookie_name::{CookieName, CookieNameError};
pub use forwarded::Hop;
pub use host_port::is_host_port;
pub use request_key::{RequestKey, RequestKeyError};
pub use set_cookie::{CookieError, CookieSpec, CookieSpecBuilder, SameSite, Secure};
