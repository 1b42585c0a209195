//! The key file: the secrets that sign and verify the tokens of one pool's proxies.
//!
//! The file is TOML; operators edit it to rotate keys, as its leading comment explains. A new file is created
//! atomically by `create.rs`.
//!
//! # Invariants
//!
//! - No secret is ever printed: `Debug` omits the values, and errors name the key without its value. So values are read
//!   by hand, since serde's messages quote them.
//! - A file is never replaced. Of several processes that start at once, one creates it and all load the same.

mod create;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use toml::{Table, Value};

use super::document::{ConfigError, Diagnostic, Document, TOP_LEVEL, join, read_text, unreadable};
use crate::KeyRing;
use crate::affinity::KeyError;

/// The name of the pool for which keys are derived. All programs that load the same key file form one pool.
pub const POOL: &str = "gateway";

/// The length of [`KeyFile::identity`] and the least length of [`Key::secret`], in bytes.
pub const SECRET_LEN: usize = 32;

/// The contents of a key file.
#[non_exhaustive]
pub struct KeyFile {
    /// The secret from which the ids of upstreams are derived: [`SECRET_LEN`] bytes that never change.
    pub identity: Vec<u8>,
    /// 1 to 16 keys with unique ids, exactly one of which signs.
    pub keys: Vec<Key>,
    warning: Option<String>,
}

/// One key of a key file.
#[non_exhaustive]
pub struct Key {
    /// The id of the key in tokens, 0 to 15.
    pub id: u8,
    /// At least [`SECRET_LEN`] bytes.
    pub secret: Vec<u8>,
    /// Whether it signs new tokens. Every key verifies.
    pub sign: bool,
}

/// Why there is no key file to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It exists, but cannot be read or is invalid.
    #[error(transparent)]
    Load(#[from] ConfigError),
    /// It does not exist and could not be created.
    #[error("{}: can't be created: {source}; name a file in a folder where the gateway may write and make hard links", file.display())]
    Create {
        /// The path of the file, as given.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl KeyFile {
    /// Loads the key file `path`, and creates it first if it is absent.
    ///
    /// A new file has an identity and one key from the operating system's randomness, and is private to its owner (mode
    /// 0600 on Unix). It appears complete or not at all: of several processes that start at once, one creates it and
    /// all load the same.
    ///
    /// # Errors
    /// [`KeyFileError`], which contains no secret.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        match Self::load(path) {
            Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create::create(path).map_err(|source| KeyFileError::Create { file: path.to_owned(), source })?;
                Ok(Self::load(path)?)
            }
            loaded => Ok(loaded?),
        }
    }

    /// Loads the key file `path`.
    ///
    /// # Errors
    /// [`ConfigError`] if it cannot be read or is invalid; it contains no secret.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        let warning = open_to_others(path, &file).map_err(|source| unreadable(path, source))?;
        let text = read_text(path, file)?;
        Ok(Self { warning, ..Self::parse(&text, path)? })
    }

    /// Parses the `text` of a key file; `path` is only for error messages.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the first error; it contains no secret.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Ok(parse(&Document::new(path, text)).map_err(redact)?)
    }

    /// The key ring for a balancer.
    ///
    /// The pool's name is [`POOL`], so every program that loads the same file shares tokens with the gateway.
    ///
    /// # Errors
    /// [`KeyError`] where the keys are not a valid ring; never for a file as loaded.
    pub fn ring(&self) -> Result<KeyRing, KeyError> {
        let ring = KeyRing::builder(POOL, self.identity.as_slice());
        let ring = self.keys.iter().fold(ring, |ring, key| match key.sign {
            true => ring.sign_with(key.id, key.secret.as_slice()),
            false => ring.verify_with(key.id, key.secret.as_slice()),
        });
        ring.build()
    }

    /// A warning for the operator if other users may read or change the file.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("keys", &self.keys).field("warning", &self.warning).finish_non_exhaustive()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("sign", &self.sign).finish_non_exhaustive()
    }
}

/// Reads values by hand: serde's message about a wrong value may quote it.
fn parse(document: &Document<'_>) -> Result<KeyFile, Diagnostic> {
    let file: Table = document.parse()?;
    refuse_unknown(document, &file, "", &["identity", "key"])?;
    let identity = decode(file.get("identity"))
        .filter(|identity| identity.len() == SECRET_LEN)
        .ok_or_else(|| document.at("identity", "must be the base64 of 32 bytes, the same on every gateway"))?;
    let tables = match file.get("key") {
        Some(Value::Array(tables)) if !tables.is_empty() => tables,
        _ => {
            return Err(document.at("key", "must be one or more [[key]] tables with id, secret and use"));
        }
    };
    let mut keys = Vec::with_capacity(tables.len());
    for (index, table) in tables.iter().enumerate() {
        keys.push(parse_key(document, &format!("key[{index}]"), table, &keys)?);
    }
    if !keys.iter().any(|key| key.sign) {
        return Err(document.at("key", "no key signs; set use = \"sign\" on the newest key that every gateway has"));
    }
    Ok(KeyFile { identity, keys, warning: None })
}

/// Removes unknown names from the key of an error: a misplaced secret may be parsed as a name.
fn redact(mut error: Diagnostic) -> Diagnostic {
    let is_known = |part: &&str| {
        let name = part.split('[').next().unwrap_or(part);
        ["identity", "key", "id", "secret", "use"].contains(&name)
    };
    let known: Vec<_> = error.key.split('.').take_while(is_known).collect();
    error.key = if known.is_empty() { TOP_LEVEL.to_owned() } else { known.join(".") };
    error
}

fn parse_key(document: &Document<'_>, path: &str, value: &Value, earlier: &[Key]) -> Result<Key, Diagnostic> {
    let at = |key: &str, message: &str| document.at(&format!("{path}.{key}"), message);
    let Value::Table(table) = value else {
        return Err(document.at(path, "must be a table with id, secret and use"));
    };
    refuse_unknown(document, table, path, &["id", "secret", "use"])?;

    let id = table.get("id").and_then(Value::as_integer).and_then(|id| u8::try_from(id).ok()).filter(|&id| id < 16);
    let id = id.ok_or_else(|| at("id", "must be an integer from 0 to 15"))?;
    if earlier.iter().any(|key| key.id == id) {
        return Err(at("id", "is the id of an earlier key too; give each key its own"));
    }
    let secret = decode(table.get("secret")).filter(|secret| secret.len() >= SECRET_LEN).ok_or_else(|| {
        at("secret", "must be the base64 of 32 bytes or more; make one with `openssl rand -base64 32`")
    })?;
    let sign = match table.get("use").and_then(Value::as_str) {
        Some("sign") => true,
        Some("verify") => false,
        _ => return Err(at("use", "must be \"sign\" or \"verify\"")),
    };
    if sign && earlier.iter().any(|key| key.sign) {
        return Err(at("use", "an earlier key signs already; leave use = \"sign\" on one key alone"));
    }
    Ok(Key { id, secret, sign })
}

fn refuse_unknown(document: &Document<'_>, table: &Table, path: &str, known: &[&str]) -> Result<(), Diagnostic> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let message = format!("there is no such key; known are {}", known.join(", "));
            Err(document.at_key(&join(path, key), message))
        }
    }
}

fn decode(value: Option<&Value>) -> Option<Vec<u8>> {
    let text = value?.as_str()?;
    let mut bytes = vec![0; base64::decoded_len_estimate(text.len())];
    let len = STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

/// The message for a file with a secret that other users may read or change.
#[cfg(unix)]
pub fn open_to_others(path: &Path, file: &File) -> io::Result<Option<String>> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata()?.permissions().mode() & 0o777;
    let is_private = mode & 0o077 == 0;
    let path = path.display();
    Ok((!is_private).then(|| format!("{path}: is open to other users (mode {mode:03o}); run `chmod 600 {path}`")))
}

/// No warning: access control lists are not inspected on this platform.
#[cfg(not(unix))]
pub fn open_to_others(_path: &Path, _file: &File) -> io::Result<Option<String>> {
    Ok(None)
}

#[cfg(test)]
mod tests;
