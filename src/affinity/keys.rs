//! The keys of a pool: up to sixteen, one signs, all verify.
//!
//! All proxies of a pool share the ring and nothing else. Keys are derived from the configured secrets by HKDF-SHA256
//! (RFC 5869) with the pool's name in the info, so a token of one pool does not verify in another even where an
//! operator reused a secret.
//!
//! # Rotation
//!
//! 1. Give every proxy the new key with [`verify_with`](KeyRingBuilder::verify_with).
//! 2. When all have it, make it the one that signs. Each client gets a token of the new key with its next request.
//! 3. When the longest absolute age has passed, retire the old key.
//!
//! The identity secret stays throughout: upstream ids are derived from it.

use super::mac::MacKey;
use crate::cluster::{PinLoss, UpstreamId};
use crate::rng::{Entropy, EntropyError, OsEntropy};
use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;

/// The most keys a ring holds: their ids are four bits.
pub const MAX_KEYS: usize = 16;

/// The fewest bytes of a secret: the output of SHA-256.
pub const MIN_SECRET: usize = 32;

/// Why a key ring was refused.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A secret shorter than [`MIN_SECRET`].
    #[error("the {what} secret has {len} bytes: use at least {MIN_SECRET}, from the operating system's randomness")]
    TooShort {
        /// Which secret.
        what: String,
        /// Its length.
        len: usize,
    },
    /// A key id above 15.
    #[error("key id {id} does not exist: use 0 to {}", MAX_KEYS - 1)]
    Id {
        /// The id.
        id: u8,
    },
    /// Two keys of one id.
    #[error("key id {id} is given twice: give each key its own id")]
    Duplicate {
        /// The id.
        id: u8,
    },
    /// No key that signs, or more than one.
    #[error("{count} keys sign: name exactly one with `sign_with`, the others verify")]
    Signers {
        /// How many there were.
        count: usize,
    },
    /// A rotation that would also change the identity secret or the pool, and with them every upstream's id.
    #[error("the new ring is of another pool or identity secret: keep both, or all tokens lose their upstream")]
    OtherIdentity,
    /// The entropy source failed.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// The keys of one pool. Building it costs a few microseconds a key; cloning copies about a kilobyte.
#[derive(Clone)]
pub struct KeyRing {
    /// By id.
    keys: [Option<MacKey>; MAX_KEYS],
    signer: u8,
    identity: MacKey,
}

impl fmt::Debug for KeyRing {
    /// Names the keys, never their secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<usize> = (0..MAX_KEYS).filter(|id| self.keys[*id].is_some()).collect();
        f.debug_struct("KeyRing").field("ids", &ids).field("signer", &self.signer).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// A ring for the pool of this name, whose upstream ids are derived from the `identity` secret.
    pub fn builder(pool: impl Into<String>, identity: impl Into<Vec<u8>>) -> KeyRingBuilder {
        KeyRingBuilder { pool: pool.into(), identity: identity.into(), keys: Vec::new() }
    }

    /// A ring with fresh random secrets: for one proxy whose tokens need not outlive it.
    ///
    /// # Errors
    /// [`KeyError::Entropy`] where the operating system gives no randomness.
    pub fn generate(pool: impl Into<String>) -> Result<Self, KeyError> {
        let secret = || -> Result<Vec<u8>, EntropyError> {
            let words = (0..4).map(|_| OsEntropy.next()).collect::<Result<Vec<u64>, _>>()?;
            Ok(words.into_iter().flat_map(u64::to_be_bytes).collect())
        };
        Self::builder(pool, secret()?).sign_with(0, secret()?).build()
    }

    /// The id of the key that signs.
    #[must_use]
    pub fn signer(&self) -> u8 {
        self.signer
    }

    /// The id of the upstream of this name in tokens of this pool.
    #[must_use]
    pub fn upstream_id(&self, name: &str) -> UpstreamId {
        let tag = self.identity.tag(name.as_bytes());
        UpstreamId(tag.first_chunk().copied().map_or(0, u64::from_be_bytes))
    }

    /// Whether both rings give upstreams the same ids.
    pub fn same_identity(&self, other: &Self) -> bool {
        self.upstream_id("") == other.upstream_id("")
    }

    /// The full tag of `body` under key `id`, or `None` where there is no such key.
    pub(super) fn tag(&self, id: u8, body: &[u8]) -> Option<[u8; 32]> {
        self.key(id).map(|key| key.tag(body))
    }

    /// Compares the truncated `tag` in constant time.
    pub(super) fn verify(&self, id: u8, body: &[u8], tag: &[u8; 16]) -> Result<(), PinLoss> {
        match self.key(id).ok_or(PinLoss::UnknownKey)?.verify(body, tag) {
            true => Ok(()),
            false => Err(PinLoss::BadTag),
        }
    }

    fn key(&self, id: u8) -> Option<&MacKey> {
        self.keys.get(usize::from(id))?.as_ref()
    }
}

/// Collects the keys of a ring. See [`KeyRing::builder`].
pub struct KeyRingBuilder {
    pool: String,
    identity: Vec<u8>,
    keys: Vec<(u8, Vec<u8>, bool)>,
}

impl fmt::Debug for KeyRingBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRingBuilder").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl KeyRingBuilder {
    /// The key that signs new tokens, and verifies.
    #[must_use]
    pub fn sign_with(mut self, id: u8, secret: impl Into<Vec<u8>>) -> Self {
        self.keys.push((id, secret.into(), true));
        self
    }

    /// A key that only verifies: not yet signing, or about to be retired.
    #[must_use]
    pub fn verify_with(mut self, id: u8, secret: impl Into<Vec<u8>>) -> Self {
        self.keys.push((id, secret.into(), false));
        self
    }

    /// Derives the keys.
    ///
    /// # Errors
    /// [`KeyError`] for a secret below [`MIN_SECRET`] bytes, an id above 15 or given twice, and unless exactly one
    /// key signs.
    pub fn build(self) -> Result<KeyRing, KeyError> {
        let identity = derive("identity", &self.pool, &self.identity, || "identity".to_owned())?;
        let mut keys = [const { None }; MAX_KEYS];
        for (id, secret, _) in &self.keys {
            let slot = keys.get_mut(usize::from(*id)).ok_or(KeyError::Id { id: *id })?;
            let key = derive("sign", &self.pool, secret, || format!("key {id}"))?;
            if slot.replace(key).is_some() {
                return Err(KeyError::Duplicate { id: *id });
            }
        }
        let signers: Vec<u8> = self.keys.iter().filter(|(_, _, signs)| *signs).map(|(id, ..)| *id).collect();
        match signers[..] {
            [signer] => Ok(KeyRing { keys, signer, identity }),
            _ => Err(KeyError::Signers { count: signers.len() }),
        }
    }
}

fn derive(purpose: &str, pool: &str, secret: &[u8], what: impl Fn() -> String) -> Result<MacKey, KeyError> {
    let too_short = || KeyError::TooShort { what: what(), len: secret.len() };
    if secret.len() < MIN_SECRET {
        return Err(too_short());
    }
    let mut key = [0; 32];
    let info = [b"homing/1 ", purpose.as_bytes(), b" ", pool.as_bytes()];
    // Cannot fail: 32 bytes are one block of output.
    Hkdf::<Sha256>::new(None, secret).expand_multi_info(&info, &mut key).map_err(|_| too_short())?;
    Ok(MacKey::new(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn refuses_what_is_no_ring() {
        let ring = || KeyRing::builder("pool", SECRET);
        let error = |builder: KeyRingBuilder| builder.build().unwrap_err().to_string();
        assert!(error(KeyRing::builder("pool", [7; 31]).sign_with(0, SECRET)).contains("identity secret has 31"));
        assert!(error(ring().sign_with(3, [1; 16])).contains("key 3 secret has 16 bytes"));
        assert!(error(ring().sign_with(16, SECRET)).contains("key id 16 does not exist"));
        assert!(error(ring().sign_with(1, SECRET).verify_with(1, SECRET)).contains("given twice"));
        assert!(error(ring()).contains("0 keys sign"));
        assert!(error(ring().verify_with(0, SECRET)).contains("0 keys sign"));
        assert!(error(ring().sign_with(0, SECRET).sign_with(1, SECRET)).contains("2 keys sign"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let ring = KeyRing::builder("pool", SECRET).sign_with(2, SECRET);
        assert_eq!(format!("{ring:?}"), "KeyRingBuilder { pool: \"pool\", .. }");
        assert_eq!(format!("{:?}", ring.build().unwrap()), "KeyRing { ids: [2], signer: 2, .. }");
    }

    #[test]
    fn pools_and_purposes_have_their_own_keys() {
        let ring = |pool: &str| KeyRing::builder(pool, SECRET).sign_with(0, SECRET).build().unwrap();
        let (a, b) = (ring("a"), ring("b"));
        assert_ne!(a.tag(0, b"x"), b.tag(0, b"x"));
        assert_ne!(a.upstream_id("x"), b.upstream_id("x"));
        assert!(a.same_identity(&ring("a")) && !a.same_identity(&b));
        assert_ne!(a.tag(0, b"x").unwrap(), a.identity.tag(b"x"), "one secret, two purposes, two keys");
    }
}
