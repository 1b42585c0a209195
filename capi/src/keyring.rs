//! Key rings: what signs tokens and verifies them.

use crate::boundary::enter;
use crate::failure::Failure;
use crate::log;
use crate::memory::{Out, bytes, switch, text};
use crate::registry::{self, homing_handle};
use crate::status::*;
use homing::KeyRing;
use homing::affinity::KeyError;
use homing::config::keyfile::KeyFile;
use parking_lot::Mutex;
use std::path::Path;

/// The longest secret, in bytes.
const SECRET_MAX: usize = 1024;
/// The longest path, in bytes.
const PATH_MAX: usize = 4096;

pub(crate) enum Ring {
    Whole(Box<KeyRing>),
    /// One that the host adds keys to.
    Parts(Mutex<Parts>),
}

pub(crate) struct Parts {
    pool: String,
    identity: Vec<u8>,
    keys: Vec<(u8, Vec<u8>, bool)>,
}

impl Ring {
    pub(crate) fn keys(&self) -> Result<KeyRing, Failure> {
        match self {
            Self::Whole(ring) => Ok(KeyRing::clone(ring)),
            Self::Parts(parts) => Ok(parts.lock().build()?),
        }
    }
}

impl Parts {
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

/// The keys in a file, with a warning in the log where others can read it.
pub(crate) fn load(path: &Path) -> Result<KeyRing, Failure> {
    let file = KeyFile::load_or_create(path)?;
    if let Some(warning) = file.warning() {
        log::warn(warning);
    }
    Ok(file.ring()?)
}

/// Makes a ring with fresh secrets that nobody else has, for tokens that need not outlive the process and its
/// forks. Free it with homing_keyring_free(). The pool is any name, at most 255 bytes of UTF-8: tokens of one
/// pool mean nothing in another.
///
/// # Safety
/// pool must have pool_len bytes, and ring take a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_keyring_generate(pool: *const u8, pool_len: usize, ring: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (out, pool) = unsafe { (Out::new("ring", ring)?, text("pool", pool, pool_len, HOMING_NAME_MAX)?) };
        out.set(registry::insert(Ring::Whole(Box::new(KeyRing::generate(pool)?)))?);
        Ok(HOMING_OK)
    })
}

/// Reads a ring from a key file, which is created (for its owner alone) where there is none; it explains
/// itself. Whoever has the same file shares tokens, gateways too. Free the ring with homing_keyring_free().
/// To rotate keys, edit the file as it says, read it again, and give the new ring to
/// homing_balancer_set_keys().
///
/// # Safety
/// path must have path_len bytes (at most 4096), and ring take a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_keyring_load(path: *const u8, path_len: usize, ring: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (out, path) = unsafe { (Out::new("ring", ring)?, text("path", path, path_len, PATH_MAX)?) };
        out.set(registry::insert(Ring::Whole(Box::new(load(Path::new(path))?)))?);
        Ok(HOMING_OK)
    })
}

/// Begins a ring of secrets that the host keeps itself. identity names the upstreams in tokens and never
/// changes: 32 to 1024 random bytes. Add one key that signs, and up to fifteen that verify, with
/// homing_keyring_add(). Free it with homing_keyring_free().
///
/// # Safety
/// pool and identity must have so many bytes, and ring take a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_keyring_new(
    pool: *const u8,
    pool_len: usize,
    identity: *const u8,
    identity_len: usize,
    ring: *mut homing_handle,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (out, pool) = unsafe { (Out::new("ring", ring)?, text("pool", pool, pool_len, HOMING_NAME_MAX)?) };
        // SAFETY: likewise.
        let identity = unsafe { bytes("identity", identity, identity_len, SECRET_MAX) }?;
        let parts = Parts { pool: pool.to_owned(), identity: identity.to_vec(), keys: Vec::new() };
        out.set(registry::insert(Ring::Parts(Mutex::new(parts)))?);
        Ok(HOMING_OK)
    })
}

/// Adds a key to a ring from homing_keyring_new(): id is 0 to 15, its secret 32 to 1024 random bytes, and
/// sign is 1 for the one key that signs, 0 for those that only verify. A ring is judged where it is used, by
/// homing_balancer_new() and homing_balancer_set_keys(), which take the keys that it has then.
///
/// # Safety
/// secret must have secret_len bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_keyring_add(
    ring: homing_handle,
    id: u8,
    secret: *const u8,
    secret_len: usize,
    sign: i32,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let secret = unsafe { bytes("secret", secret, secret_len, SECRET_MAX) }?;
        let sign = switch("sign", sign)?;
        registry::with("ring", ring, |ring: &Ring| {
            let Ring::Parts(parts) = ring else {
                return Err(Failure::value("ring", "is whole; add keys to one from homing_keyring_new"));
            };
            parts.lock().keys.push((id, secret.to_vec(), sign));
            Ok(HOMING_OK)
        })
    })
}

/// Frees a ring. Balancers that were given it go on.
#[unsafe(no_mangle)]
pub extern "C" fn homing_keyring_free(ring: homing_handle) -> i32 {
    enter(|| registry::remove::<Ring>("ring", ring).map(|()| HOMING_OK))
}
