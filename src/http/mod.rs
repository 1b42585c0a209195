//! Cookies and client addresses, on borrowed header bytes.
//!
//! Everything a host needs to carry an affinity token over HTTP, whatever HTTP library it uses:
//!
//! - [`cookie`]: find the token in `Cookie` headers, and take it out before they travel on;
//! - [`set_cookie`]: a `Set-Cookie` value, its attributes checked once, at configuration;
//! - [`client_addr`]: the client's address, as trusted proxies forward it;
//! - [`RequestKey`]: the part of a request that hash policies hash;
//! - [`forwarded`]: the `X-Forwarded-For` and `Forwarded` values for the upstream.
//!
//! What this module does not do: it parses no message, owns no header map, opens no token and knows
//! no HTTP library. Header values come in as `&[u8]`, one slice a header line, and go out as bytes.

#![forbid(unsafe_code)]

pub mod client_addr;
pub mod cookie;
mod cookie_name;
pub mod forwarded;
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
