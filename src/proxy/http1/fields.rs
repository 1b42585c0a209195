//! Which of the header fields that matter to a proxy a message has, found in one pass.
//!
//! Looking a name up in a `HeaderMap` hashes it, found or not, and a proxy has some twenty names to look for in a
//! message that has six fields. Walking the message once costs a fraction of that.

use http::HeaderMap;

/// A set of groups of fields that a message has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fields {
    present: u16,
    /// The size of all fields as HTTP/1.1 lines.
    pub(crate) bytes: usize,
}

/// `Connection` itself.
pub(crate) const CONNECTION: u16 = 1;
/// Other hop-by-hop fields.
pub(crate) const HOP_BY_HOP: u16 = 1 << 1;
/// `TE`.
pub(crate) const TE: u16 = 1 << 2;
/// `Upgrade`; also in [`HOP_BY_HOP`].
pub(crate) const UPGRADE: u16 = 1 << 3;
/// `Transfer-Encoding`; also in [`HOP_BY_HOP`].
pub(crate) const TRANSFER_ENCODING: u16 = 1 << 4;
/// `Expect`; also in [`REQUEST_ONLY`].
pub(crate) const EXPECT: u16 = 1 << 5;
/// Fields of requests that are not passed on.
pub(crate) const REQUEST_ONLY: u16 = 1 << 6;
/// `Cookie`.
pub(crate) const COOKIE: u16 = 1 << 7;
/// `Forwarded` and `X-Forwarded-For`: the hops of a request, to which each proxy adds its own.
pub(crate) const FORWARDED: u16 = 1 << 8;
/// What the first proxy says of its client's connection.
pub(crate) const ORIGIN: u16 = 1 << 9;
/// Fields with a `_` in their name.
pub(crate) const UNDERSCORE: u16 = 1 << 10;
/// `Proxy-Authenticate`.
pub(crate) const PROXY_AUTHENTICATE: u16 = 1 << 11;
/// `Host`.
pub(crate) const HOST: u16 = 1 << 12;
/// `Content-Length`.
pub(crate) const CONTENT_LENGTH: u16 = 1 << 13;

/// `Date`.
pub(crate) const DATE: u16 = 1 << 14;

/// As [`group`], for a name as it was received.
pub(crate) fn group_of(name: &[u8]) -> u16 {
    /// No name that is looked for is longer.
    const LONGEST: usize = 19;
    let mut lower = [0; LONGEST];
    match lower.get_mut(..name.len()) {
        Some(lower) => {
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            group_of_lower(lower)
        }
        None if name.contains(&b'_') => UNDERSCORE,
        None => 0,
    }
}

/// The groups that a field of this name, in lower case, is in.
pub(crate) fn group(name: &str) -> u16 {
    group_of_lower(name.as_bytes())
}

fn group_of_lower(name: &[u8]) -> u16 {
    match name {
        b"host" => HOST,
        b"cookie" => COOKIE,
        b"date" => DATE,
        b"content-length" => CONTENT_LENGTH,
        b"connection" => CONNECTION,
        b"keep-alive" | b"proxy-connection" => HOP_BY_HOP,
        b"transfer-encoding" => TRANSFER_ENCODING | HOP_BY_HOP,
        b"upgrade" => UPGRADE | HOP_BY_HOP,
        b"te" => TE,
        b"expect" => EXPECT | REQUEST_ONLY,
        // CGI programs would take `Proxy` for their `HTTP_PROXY` variable ("httpoxy").
        b"http2-settings" | b"proxy-authorization" | b"proxy" => REQUEST_ONLY,
        b"forwarded" | b"x-forwarded-for" => FORWARDED,
        b"x-forwarded-proto" | b"x-forwarded-host" | b"x-real-ip" => ORIGIN,
        b"proxy-authenticate" => PROXY_AUTHENTICATE,
        _ if name.contains(&b'_') => UNDERSCORE,
        _ => 0,
    }
}

impl Fields {
    pub(crate) const NONE: Self = Self { present: 0, bytes: 0 };

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut fields = Self::NONE;
        for (name, value) in headers {
            fields.add(group(name.as_str()), name.as_str().len(), value.len());
        }
        fields
    }

    /// Adds a field of this group and these lengths.
    pub(crate) fn add(&mut self, group: u16, name: usize, value: usize) {
        // A line is its name, its value, the colon, a space and the line end.
        self.bytes += name + value + 4;
        self.present |= group;
    }

    /// Whether the message has a field of these groups.
    pub(crate) fn has(self, groups: u16) -> bool {
        self.present & groups != 0
    }
}
