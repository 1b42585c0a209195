//! Key rings: the keys that sign and verify tokens.

use crate::boundary::enter;
use crate::constants::*;
use crate::failure::Failure;
use crate::memory::{Out, bytes, switch, text};
use crate::registry::{self, Handled, Kind, Table, homing_handle};
use crate::sink;
use homing::KeyRing;
use homing::affinity::KeyError;
use homing::config::keyfile::KeyFile;
use parking_lot::Mutex;
use std::path::Path;

/// The maximum length of a secret, in bytes.
const SECRET_MAX: usize = 1024;
/// The maximum length of a path, in bytes.
const PATH_MAX: usize = 4096;

pub(crate) enum KeyRingObject {
    Whole(Box<KeyRing>),
    /// A ring to which the host adds keys.
    Parts(Mutex<KeyRingParts>),
}

pub(crate) struct KeyRingParts {
    pool: String,
    identity: Vec<u8>,
    keys: Vec<(u8, Vec<u8>, bool)>,
}

impl Handled for KeyRingObject {
    const NAME: &'static str = "key ring";

    fn table() -> &'static Table<Self> {
        static TABLE: Table<KeyRingObject> = Table::new(Kind::KeyRing);
        &TABLE
    }
}

impl KeyRingObject {
    pub(crate) fn keys(&self) -> Result<KeyRing, Failure> {
        match self {
            Self::Whole(ring) => Ok(KeyRing::clone(ring)),
            Self::Parts(parts) => Ok(parts.lock().build()?),
        }
    }
}

impl KeyRingParts {
    fn build(&self) -> Result<KeyRing, KeyError> {
        let mut ring = KeyRing::builder(&self.pool, self.identity.as_slice());
        for (id, secret, sign) in &self.keys {
            ring = match sign {
                true => ring.sign_with(*id, secret.as_slice()),
                false => ring.verify_with(*id, secret.as_slice()),
            };
        }
        ring.build()
    }
}

/// The keys in a file. Logs a warning where other users can read it.
pub(crate) fn load(path: &Path) -> Result<KeyRing, Failure> {
    let file = KeyFile::load_or_create(path)?;
    if let Some(warning) = file.warning() {
        sink::warn(warning);
    }
    Ok(file.ring()?)
}

/// Creates a ring with new random secrets, for tokens that need not outlive the process and its forks. The pool is
/// any name, at most 255 bytes of UTF-8: tokens of one pool are not valid in another. Free the ring with
/// homing_keyring_free().
///
/// # Safety
/// pool must have pool_len readable bytes, and ring must point to a writable homing_handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_keyring_generate(pool: *const u8, pool_len: usize, ring: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let (out, pool) = unsafe { (Out::new("ring", ring)?, text("pool", pool, pool_len, HOMING_NAME_MAX)?) };
        out.set(registry::insert(KeyRingObject::Whole(Box::new(KeyRing::generate(pool)?)))?);
        Ok(HOMING_OK)
    })
}

/// Reads a ring from a key file. If the file does not exist it is created, readable by its owner only, with an
/// explanation in it. All processes with the same file, gateways among them, accept each other's tokens. To rotate
/// keys, edit the file as it explains, read it again, and pass the new ring to homing_balancer_set_keys(). Free the
/// ring with homing_keyring_free().
///
/// # Safety
/// path must have path_len readable bytes (at most 4096), and ring must point to a writable homing_handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_keyring_load(path: *const u8, path_len: usize, ring: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let (out, path) = unsafe { (Out::new("ring", ring)?, text("path", path, path_len, PATH_MAX)?) };
        out.set(registry::insert(KeyRingObject::Whole(Box::new(load(Path::new(path))?)))?);
        Ok(HOMING_OK)
    })
}

/// Creates a ring without keys, for secrets that the host stores itself. identity is 32 to 1024 random bytes, from
/// which the ids of upstreams in tokens are derived; it never changes. Add one key that signs, and up to fifteen that
/// only verify, with homing_keyring_add(). Free the ring with homing_keyring_free().
///
/// # Safety
/// pool and identity must have as many readable bytes as their lengths say, and ring must point to a writable
/// homing_handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_keyring_new(
    pool: *const u8,
    pool_len: usize,
    identity: *const u8,
    identity_len: usize,
    ring: *mut homing_handle,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let (out, pool) = unsafe { (Out::new("ring", ring)?, text("pool", pool, pool_len, HOMING_NAME_MAX)?) };
        // SAFETY: by the same guarantee.
        let identity = unsafe { bytes("identity", identity, identity_len, SECRET_MAX) }?;
        let parts = KeyRingParts { pool: pool.to_owned(), identity: identity.to_vec(), keys: Vec::new() };
        out.set(registry::insert(KeyRingObject::Parts(Mutex::new(parts)))?);
        Ok(HOMING_OK)
    })
}

/// Adds a key to a ring from homing_keyring_new(): id is 0 to 15, the secret is 32 to 1024 random bytes, and sign is
/// 1 for the one key that signs, 0 for those that only verify. A ring is validated where it is used, by
/// homing_balancer_new() and homing_balancer_set_keys(), which take the keys that it has then.
///
/// # Safety
/// secret must have secret_len readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_keyring_add(
    ring: homing_handle,
    id: u8,
    secret: *const u8,
    secret_len: usize,
    sign: i32,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let secret = unsafe { bytes("secret", secret, secret_len, SECRET_MAX) }?;
        let sign = switch("sign", sign)?;
        registry::with("ring", ring, |ring: &KeyRingObject| {
            let KeyRingObject::Parts(parts) = ring else {
                return Err(Failure::value("ring", "is complete; add keys to one from homing_keyring_new"));
            };
            parts.lock().keys.push((id, secret.to_vec(), sign));
            Ok(HOMING_OK)
        })
    })
}

/// Frees a ring. Balancers that use it keep its keys.
#[unsafe(no_mangle)]
pub extern "C" fn homing_keyring_free(ring: homing_handle) -> i32 {
    enter(|| registry::remove::<KeyRingObject>("ring", ring).map(|()| HOMING_OK))
}
