//! Notices when the content of any of a list of files changes.
//!
//! Folders are watched rather than files, since editors and Kubernetes replace a file, or a link to it. An event only
//! causes a comparison; a change is one of the digest of what the files hold.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// FileWatch are compared once their folders were quiet for so long: several files are seldom written in one instant.
const QUIET: Duration = Duration::from_millis(200);

/// The longest wait for such a pause.
const MAX_WAIT: Duration = Duration::from_secs(2);

pub(crate) struct FileWatch {
    paths: Vec<PathBuf>,
    /// Of their contents at the last comparison.
    digest: [u8; 32],
    events: Arc<Notify>,
    /// There was an event since the last comparison.
    is_pending: bool,
    /// `None` where the system cannot watch.
    _watcher: Option<RecommendedWatcher>,
}

impl std::fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FileWatch").field(&self.paths).finish()
    }
}

impl FileWatch {
    /// Watches `paths` from here on; they need not exist.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let events = Arc::new(Notify::new());
        let watcher = watch(&paths, Arc::clone(&events));
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, files = ?paths, "cannot watch files: changes are not noticed, send SIGHUP after each");
        });
        let digest = digest(&paths);
        Self { paths, digest, events, is_pending: false, _watcher: watcher.ok() }
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Completes when the contents differ from those of the last comparison. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        loop {
            if !self.is_pending {
                self.events.notified().await;
                self.is_pending = true;
            }
            let end = Instant::now() + MAX_WAIT;
            while timeout_at(end.min(Instant::now() + QUIET), self.events.notified()).await.is_ok() {}
            if self.check() {
                return;
            }
        }
    }

    /// Compares now: whether the contents differ from those of the last comparison.
    pub(crate) fn check(&mut self) -> bool {
        self.is_pending = false;
        let digest = digest(&self.paths);
        std::mem::replace(&mut self.digest, digest) != digest
    }
}

fn watch(paths: &[PathBuf], events: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too.
        if event.is_ok_and(|event| !event.kind.is_access() || event.need_rescan()) {
            events.notify_one();
        }
    })?;
    for folder in folders(paths) {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// The folders of the files, and of the files that links lead to.
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
        // An unreadable file differs from an empty one.
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

    async fn changes(files: &mut FileWatch) -> bool {
        tokio::time::timeout(Duration::from_secs(20), files.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_file_that_is_written_or_replaced_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        fs::write(&file, "one").unwrap();
        let mut files = FileWatch::new(vec![file.clone()]);
        fs::write(&file, "two").unwrap();
        assert!(changes(&mut files).await);
        fs::write(folder.path().join("next"), "three").unwrap();
        fs::rename(folder.path().join("next"), &file).unwrap();
        assert!(changes(&mut files).await);
        // The same content, and another file: no change.
        fs::write(&file, "three").unwrap();
        fs::write(folder.path().join("other"), "four").unwrap();
        assert!(!files.check());
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
        let mut files = FileWatch::new(vec![at("tls.crt")]);
        symlink("v2", at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        assert!(changes(&mut files).await);
    }
}
