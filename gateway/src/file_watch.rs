//! Notices when one of some files has another content.
//!
//! Folders are watched, since editors and Kubernetes put another file, or another link, in a file's place. What happens
//! there is only the cause to look: what counts is what the files hold.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// For how long nothing may happen in the folders before the files are looked at: several are seldom written at once.
const QUIET: Duration = Duration::from_millis(200);

/// And how long that is waited for at most.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Files {
    paths: Vec<PathBuf>,
    /// Of what they held when they were looked at last.
    digest: [u8; 32],
    stirred: Arc<Notify>,
    /// Something has happened, and nobody has looked yet.
    is_stirred: bool,
    /// `None` where the system cannot watch.
    _watcher: Option<RecommendedWatcher>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Files").field(&self.paths).finish()
    }
}

impl Files {
    /// Watches these from here on.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let stirred = Arc::new(Notify::new());
        let watcher = watch(&paths, Arc::clone(&stirred));
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, files = ?paths, "changes of files are not noticed");
        });
        let digest = digest(&paths);
        Self { paths, digest, stirred, is_stirred: false, _watcher: watcher.ok() }
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Completes when they hold something else than when they were looked at last. May be given up and asked for again.
    pub(crate) async fn changed(&mut self) {
        loop {
            if !self.is_stirred {
                self.stirred.notified().await;
                self.is_stirred = true;
            }
            let end = Instant::now() + PATIENCE;
            while timeout_at(end.min(Instant::now() + QUIET), self.stirred.notified()).await.is_ok() {}
            if self.look() {
                return;
            }
        }
    }

    /// Whether they hold something else than the last time.
    pub(crate) fn look(&mut self) -> bool {
        self.is_stirred = false;
        let digest = digest(&self.paths);
        std::mem::replace(&mut self.digest, digest) != digest
    }
}

fn watch(paths: &[PathBuf], stirred: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Looking is an event too.
        if event.is_ok_and(|event| !event.kind.is_access() || event.need_rescan()) {
            stirred.notify_one();
        }
    })?;
    for folder in folders(paths) {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Where the files are, and where what links lead to is.
fn folders(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Some(PathBuf::from(".")),
        folder => folder.map(Path::to_owned),
    };
    let real = paths.iter().filter_map(|path| path.canonicalize().ok()).filter_map(|path| parent(&path));
    let named = paths.iter().filter_map(|path| parent(path)).filter_map(|folder| folder.canonicalize().ok());
    real.chain(named).collect()
}

fn digest(paths: &[PathBuf]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for path in paths {
        // A file that cannot be read is another than an empty one.
        match fs::read(path) {
            Ok(content) => {
                digest.update((content.len() as u64).to_be_bytes());
                digest.update(content);
            }
            Err(_) => digest.update(u64::MAX.to_be_bytes()),
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn changes(files: &mut Files) -> bool {
        tokio::time::timeout(Duration::from_secs(20), files.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_file_that_is_written_or_replaced_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        fs::write(&file, "one").unwrap();
        let mut files = Files::new(vec![file.clone()]);
        fs::write(&file, "two").unwrap();
        assert!(changes(&mut files).await);
        fs::write(folder.path().join("next"), "three").unwrap();
        fs::rename(folder.path().join("next"), &file).unwrap();
        assert!(changes(&mut files).await);
        // Of the same content, and another file: no cause to do anything.
        fs::write(&file, "three").unwrap();
        fs::write(folder.path().join("other"), "four").unwrap();
        assert!(!files.look());
        fs::remove_file(&file).unwrap();
        assert!(changes(&mut files).await);
    }

    /// As Kubernetes mounts secrets: a link to a link to a folder, and the one in the middle is replaced.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_that_leads_elsewhere_is_noticed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, content) in [("v1", "one"), ("v2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("tls.crt"), content).unwrap();
        }
        symlink("v1", at("..data")).unwrap();
        symlink("..data/tls.crt", at("tls.crt")).unwrap();
        let mut files = Files::new(vec![at("tls.crt")]);
        symlink("v2", at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        assert!(changes(&mut files).await);
    }
}
