//! The id of an upstream in tokens, and hash tables keyed by it.

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// The id of an upstream in tokens: a keyed hash of its name under the pool's identity key.
///
/// Opaque to clients, equal on every proxy of the pool, and constant while the name stays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub(crate) u64);

impl UpstreamId {
    /// The id of this number, the inverse of [`as_u64`](Self::as_u64).
    #[must_use]
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }

    /// The id as a number, uniformly distributed.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The id without a key, for balancers without affinity: no token carries it.
    pub(crate) fn unkeyed(name: &str) -> Self {
        let digest = Sha256::digest(name);
        Self(digest.first_chunk().copied().map_or(0, u64::from_be_bytes))
    }
}

impl fmt::Debug for UpstreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A table by upstream id.
pub(crate) type IdMap<V> = HashMap<UpstreamId, V, BuildHasherDefault<IdHasher>>;

/// The identity as a hash function: ids are already uniform, by a keyed hash that clients cannot choose.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}
