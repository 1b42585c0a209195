//! Which header fields of a message need a second look, found in one pass.
//!
//! Looking a name up in a `HeaderMap` hashes it, found or not, and a proxy has some twenty names to ask for of a
//! message that has six. Walking the message once costs a fraction of that.

use http::HeaderMap;

/// A set of groups of fields that a message has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fields {
    present: u16,
    /// The size of all fields as HTTP/1.1 lines.
    pub(super) bytes: usize,
}

/// `Connection` itself.
pub(super) const CONNECTION: u16 = 1;
/// Other fields that are for one connection only.
pub(super) const HOP_BY_HOP: u16 = 1 << 1;
/// `TE`.
pub(super) const TE: u16 = 1 << 2;
/// `Upgrade`; also in [`HOP_BY_HOP`].
pub(super) const UPGRADE: u16 = 1 << 3;
/// `Transfer-Encoding`; also in [`HOP_BY_HOP`].
pub(super) const TRANSFER_ENCODING: u16 = 1 << 4;
/// `Expect`; also in [`REQUEST_ONLY`].
pub(super) const EXPECT: u16 = 1 << 5;
/// Fields that a request leaves here.
pub(super) const REQUEST_ONLY: u16 = 1 << 6;
/// `Cookie`.
pub(super) const COOKIE: u16 = 1 << 7;
/// Fields that the proxy speaks for.
pub(super) const OURS: u16 = 1 << 8;
/// Fields with a `_` in their name.
pub(super) const UNDERSCORE: u16 = 1 << 9;
/// `Proxy-Authenticate`.
pub(super) const PROXY_AUTHENTICATE: u16 = 1 << 10;

impl Fields {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut fields = Self { present: 0, bytes: 0 };
        for (name, value) in headers {
            let name = name.as_str();
            // A line is its name, its value, the colon, a space and the line end.
            fields.bytes += name.len() + value.len() + 4;
            fields.present |= match name {
                "connection" => CONNECTION,
                "keep-alive" | "proxy-connection" => HOP_BY_HOP,
                "transfer-encoding" => TRANSFER_ENCODING | HOP_BY_HOP,
                "upgrade" => UPGRADE | HOP_BY_HOP,
                "te" => TE,
                "expect" => EXPECT | REQUEST_ONLY,
                "http2-settings" | "proxy-authorization" | "proxy" => REQUEST_ONLY,
                "cookie" => COOKIE,
                "forwarded" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "via" | "x-real-ip" => {
                    OURS
                }
                "proxy-authenticate" => PROXY_AUTHENTICATE,
                _ if name.as_bytes().contains(&b'_') => UNDERSCORE,
                _ => 0,
            };
        }
        fields
    }

    /// Whether one of these groups is there.
    pub(super) fn has(self, groups: u16) -> bool {
        self.present & groups != 0
    }
}
