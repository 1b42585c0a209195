//! Creates a key file, atomically: it appears complete or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng;
use rand::rngs::SysRng;

use super::SECRET_LEN;

pub(super) const HEAD: &str = r#"# The secrets that the gateways of one pool share. Anyone who can read this
# file can forge tokens: keep it private, and copy it to each gateway over a secure channel.
#
# To replace the key that signs, without losing a session:
#   1. Add a [[key]] with an id of 0 to 15 that no other key has, the output of `openssl rand -base64 32`
#      as its secret, and use = "verify". Copy the file to every gateway and load it: restart the
#      gateway, or POST /api/v1/keys/rotate to its [admin] address.
#   2. When all gateways have loaded it, change the new key to use = "sign" and the old one to
#      use = "verify". Copy the file to every gateway and load it again.
#   3. When affinity.max_age has passed since then, remove the old key.
#
# Never change the identity: the ids of upstreams in tokens are derived from it.

"#;

/// Creates `path` with new secrets, unless it exists; another process may create it meanwhile.
pub(super) fn create(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let draft = Draft::write(folder, &new_text()?)?;
    // Unlike a rename, a hard link never replaces a file that another process has just created.
    match fs::hard_link(&draft.path, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.and_then(|()| sync_folder(folder)),
    }
}

fn new_text() -> io::Result<String> {
    let identity = random::<SECRET_LEN>()?;
    let secret = random::<SECRET_LEN>()?;
    let [identity, secret] = [&identity, &secret].map(|bytes| Base64Display::new(bytes, &STANDARD));
    Ok(format!("{HEAD}identity = \"{identity}\"\n\n[[key]]\nid = 0\nsecret = \"{secret}\"\nuse = \"sign\"\n"))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// A complete file under a temporary name, removed on drop.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(folder: &Path, text: &str) -> io::Result<Self> {
        let path = folder.join(format!(".homing.keys.{:016x}", u64::from_le_bytes(random()?)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        let draft = Self { path };
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // A draft that cannot be removed does no harm: it is never read.
        let _ = fs::remove_file(&self.path);
    }
}

/// Syncs the directory, so that the new name survives a crash.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Directories cannot be opened as files on this platform.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
