//! The configuration of an upstream, and why a set of them may be rejected.

/// The most upstreams a cluster can have.
pub const MAX_UPSTREAMS: usize = 10_000;

/// The longest name of an upstream, in bytes.
const MAX_NAME: usize = 255;

/// The configuration of one upstream. It is checked when a cluster is built, or by [`check`](Self::check).
///
/// With the feature `serde` it is an object of these fields, of which `weight` and `max_in_flight` may be left out.
/// Reading it checks types and names of fields alone; the type of configuration files (`config::Upstream`)
/// also checks values, so that a refusal has their place.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// Its identity: 1 to 255 bytes of visible ASCII.
    pub name: String,
    /// Where to connect; only the host interprets it.
    pub address: String,
    /// Its share of new sessions relative to the others', 1 to 65535.
    #[cfg_attr(feature = "serde", serde(default = "default_weight"))]
    pub weight: u16,
    /// The most requests and tunnels in flight at once; 0 is no limit.
    #[cfg_attr(feature = "serde", serde(default))]
    pub max_in_flight: u32,
}

#[cfg(feature = "serde")]
fn default_weight() -> u16 {
    1
}

impl UpstreamConfig {
    /// An upstream of weight 1 without a limit.
    ///
    /// The `name` is its identity, 1 to 255 bytes of visible ASCII: tokens name it by a hash of the name, so it should
    /// stay when the address changes. Only the host interprets the `address` (the `proxy` feature takes `host:port`).
    #[must_use]
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self { name: name.into(), address: address.into(), weight: 1, max_in_flight: 0 }
    }

    /// Its share of new sessions relative to the others', 1 to 65535.
    #[must_use]
    pub fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// The most requests and tunnels in flight at once; 0, the default, is no limit.
    #[must_use]
    pub fn max_in_flight(mut self, limit: u32) -> Self {
        self.max_in_flight = limit;
        self
    }

    /// Checks the name and the weight.
    ///
    /// # Errors
    /// [`ClusterError::Name`] or [`ClusterError::ZeroWeight`].
    pub fn check(&self) -> Result<(), ClusterError> {
        let visible = self.name.bytes().all(|b| b.is_ascii_graphic());
        if self.name.is_empty() || self.name.len() > MAX_NAME || !visible {
            return Err(ClusterError::Name { name: self.name.clone() });
        }
        if self.weight == 0 {
            return Err(ClusterError::ZeroWeight { name: self.name.clone() });
        }
        Ok(())
    }
}

/// Why no cluster can be built of a set of upstreams.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClusterError {
    /// More than [`MAX_UPSTREAMS`].
    #[error("{count} upstreams are more than the {MAX_UPSTREAMS} a cluster can have: split it into several")]
    TooMany {
        /// The number of upstreams.
        count: usize,
    },
    /// A name that is empty, too long or not visible ASCII.
    #[error("the upstream name {name:?} is refused: use 1 to 255 visible ASCII characters without spaces")]
    Name {
        /// The name.
        name: String,
    },
    /// Two upstreams of one name.
    #[error("the upstream name {name:?} is used twice: names are identities, give each upstream its own")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A weight of zero.
    #[error("upstream {name:?} has weight 0: use 1 to 65535, and drain the upstream to send it nothing new")]
    ZeroWeight {
        /// The upstream's name.
        name: String,
    },
    /// Two names with the same id, which happens by chance in one of 10^11 clusters of the largest size.
    #[error("the upstreams {first:?} and {second:?} have the same id under this identity key: rename one of them")]
    Collision {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
}
