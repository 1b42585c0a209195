//! The keys of a fleet in etcd.

use std::fmt;

/// The prefix of all keys of one fleet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPrefix(String);

/// A key below the prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FleetKey<'a> {
    Upstream(&'a str),
    Override(&'a str),
    Keys,
    Report(&'a str),
    Live { gateway: &'a str, upstream: &'a str },
}

impl KeyPrefix {
    /// `text`, without slashes at its end.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim_end_matches('/').to_owned())
    }

    /// A key in full.
    pub(super) fn full(&self, key: FleetKey<'_>) -> String {
        format!("{}/{key}", self.0)
    }

    /// The range of the keys of the fleet: the first, and the one behind the last.
    pub(super) fn range(&self) -> (String, String) {
        // `0` follows `/`.
        (format!("{}/", self.0), format!("{}0", self.0))
    }

    /// The key that a full key is; `None` for one that is not known.
    pub(super) fn parse<'k>(&self, full: &'k str) -> Option<FleetKey<'k>> {
        let key = full.strip_prefix(&*self.0)?.strip_prefix('/')?;
        let (kind, name) = key.split_once('/').unwrap_or((key, ""));
        match (kind, name) {
            ("keys", "") => Some(FleetKey::Keys),
            (_, "") => None,
            ("upstreams", name) => Some(FleetKey::Upstream(name)),
            ("orders", name) => Some(FleetKey::Override(name)),
            ("reports", name) => Some(FleetKey::Report(name)),
            ("live", rest) => rest.split_once('/').map(|(gateway, upstream)| FleetKey::Live { gateway, upstream }),
            _ => None,
        }
    }
}

impl Default for KeyPrefix {
    /// `/homing`.
    fn default() -> Self {
        Self("/homing".to_owned())
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FleetKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => write!(f, "upstreams/{name}"),
            Self::Override(name) => write!(f, "orders/{name}"),
            Self::Keys => f.write_str("keys"),
            Self::Report(name) => write!(f, "reports/{name}"),
            Self::Live { gateway, upstream } => write!(f, "live/{gateway}/{upstream}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let prefix = KeyPrefix::new("/shop/homing/");
        let live = FleetKey::Live { gateway: "gw", upstream: "a/b" };
        for key in [FleetKey::Upstream("a/b"), FleetKey::Override("a"), FleetKey::Keys, FleetKey::Report("a"), live] {
            let full = prefix.full(key);
            assert_eq!(prefix.parse(&full), Some(key), "{full}");
            let (from, to) = prefix.range();
            assert!((from..to).contains(&full));
        }
        for other in
            ["/shop/homing", "/shop/homing/", "/shop/homing/upstreams/", "/shop/homingx/keys", "/shop/homing/x/y"]
        {
            assert_eq!(prefix.parse(other), None, "{other}");
        }
    }
}
