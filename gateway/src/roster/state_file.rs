//! The state file: overrides and registrations, kept from one run of the gateway to the next.
//!
//! It is replaced whole: written to a temporary file beside it, synced, renamed, and the folder synced. So it holds one
//! whole state, wherever the last writer was stopped; the tests stop it at each step. A damaged file is refused, never
//! silently replaced by an empty one. Only one gateway may use a file: two would undo each other's changes.

use crate::roster::{self, Overrides, Registrations, RosterState, RosterStore, StoreError};
use homing::http::is_host_port;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The version that is written, and the only one that is read.
const VERSION: u64 = 1;

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// It could not be read.
    #[error("state file {}: can't be read: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// It did not exist and could not be written.
    #[error(
        "state file {}: can't be written: {source}; its folder has to exist, and the gateway has to have write permission",
        file.display()
    )]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// It is damaged. It is left as it is.
    #[error(
        "state file {}:{line}:{column}: {message}; put a good copy in its place, or move it away to start without the \
         overrides that it holds",
        file.display()
    )]
    Invalid {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1; 0 where it is about the whole line.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// It is of another version of this format. It is left as it is.
    #[error(
        "state file {}: it is of version {version}, and this gateway reads version {VERSION}: run the gateway that wrote it, \
         or move it away to start without the overrides that it holds",
        file.display()
    )]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u64,
    },
    /// With this configuration its overrides leave no valid cluster.
    #[error(
        "state file {}: with its overrides, {source}; change the configuration, or move the file away",
        file.display()
    )]
    Refused {
        /// The file.
        file: PathBuf,
        /// Why.
        source: roster::RosterError,
    },
}

#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    #[serde(rename = "orders")]
    overrides: Overrides,
    registered: Registrations,
}

/// A [`RosterStore`] in one file.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    state: Mutex<RosterState>,
}

impl StateFile {
    /// The file at `path` and what it holds. Where there is none, it is made, for its owner alone (mode 0600, on Unix).
    ///
    /// # Errors
    /// [`StateFileError`].
    pub fn open(path: &Path) -> Result<(Self, RosterState), StateFileError> {
        let state = match read(path)? {
            Some(state) => state,
            None => {
                let state = RosterState::default();
                let written = text(&state).and_then(|text| replace(&Disk, path, text.as_bytes()));
                written.map_err(|source| StateFileError::Write { file: path.to_owned(), source })?;
                state
            }
        };
        Ok((Self { path: path.to_owned(), state: Mutex::new(state.clone()) }, state))
    }

    fn update(&self, change: impl FnOnce(&mut RosterState)) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let mut next = state.clone();
        change(&mut next);
        text(&next)
            .and_then(|text| replace(&Disk, &self.path, text.as_bytes()))
            .map_err(|error| StoreError::new(format!("state file {}: {error}", self.path.display())))?;
        *state = next;
        Ok(())
    }
}

impl RosterStore for StateFile {
    fn save(&self, _: &[(&str, Option<&roster::Override>)], all: &Overrides) -> Result<(), StoreError> {
        self.update(|state| state.overrides.clone_from(all))
    }

    fn save_registrations(&self, all: &Registrations) -> Result<(), StoreError> {
        self.update(|state| state.registered.clone_from(all))
    }
}

/// What the file at `path` holds, if there is one.
///
/// # Errors
/// [`StateFileError`], such as where it is damaged.
pub fn read(path: &Path) -> Result<Option<RosterState>, StateFileError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateFileError::Read { file: path.to_owned(), source }),
    };
    let invalid = |error: &serde_json::Error| {
        // Its line and column are fields of the error.
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message).to_owned();
        StateFileError::Invalid { file: path.to_owned(), line: error.line().max(1), column: error.column(), message }
    };
    let head: Head = serde_json::from_str(&text).map_err(|error| invalid(&error))?;
    if head.version != VERSION {
        return Err(StateFileError::Version { file: path.to_owned(), version: head.version });
    }
    let Document { version: _, overrides, registered } =
        serde_json::from_str(&text).map_err(|error| invalid(&error))?;
    let state = RosterState { overrides, registered };
    match invalid_value(&state) {
        None => Ok(Some(state)),
        Some((name, message)) => {
            let key = format!("{name:?}");
            let line = text.lines().position(|line| line.trim_start().starts_with(&key)).map_or(1, |line| line + 1);
            let message = format!("{key}: {message}");
            Err(StateFileError::Invalid { file: path.to_owned(), line, column: 0, message })
        }
    }
}

/// The first upstream with an invalid value, and what is wrong with it.
fn invalid_value(state: &RosterState) -> Option<(&str, &'static str)> {
    let address = |address: &str| (!is_host_port(address)).then_some("the address is not host:port");
    let weight = |weight| (weight == 0).then_some("the weight is 0");
    let overrides = state.overrides.iter().filter_map(|(name, override_)| Some((name, override_.put.as_ref()?)));
    let mut overrides = overrides.filter_map(|(name, put)| {
        let wrong = put.address.as_deref().and_then(address).or_else(|| put.weight.and_then(weight));
        Some((&**name, wrong?))
    });
    let mut registered = state.registered.iter().filter_map(|(name, it)| {
        let is_long = (roster::MIN_TTL..=roster::MAX_TTL).contains(&it.ttl);
        let ttl = (!is_long).then_some("ttl_ms is not from 1000 to 86400000");
        Some((&**name, address(&it.address).or_else(|| weight(it.weight)).or(ttl)?))
    });
    overrides.next().or_else(|| registered.next())
}

fn text(state: &RosterState) -> io::Result<String> {
    let RosterState { overrides, registered } = state.clone();
    let mut text = serde_json::to_string_pretty(&Document { version: VERSION, overrides, registered })?;
    text.push('\n');
    Ok(text)
}

/// The steps of a replacement. Tests stop after each of them.
trait Steps {
    /// Writes a file of mode 0600, which is on the disk when this returns.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames in this folder are on the disk when this returns.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

struct Disk;

impl Steps for Disk {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // Left by a writer that was stopped.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // On Windows a folder cannot be opened, and a rename is durable by itself.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }
}

/// Replaces the content of the file at `path`: wholly, or not at all where a step fails.
fn replace(steps: &impl Steps, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("its path has no file name"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    let temporary = path.with_file_name(temporary);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    steps.write(&temporary, bytes)?;
    steps.rename(&temporary, path)?;
    steps.sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::{DrainOverride, Override};
    use homing::time::Timestamp;
    use std::cell::Cell;

    fn drained(name: &str) -> RosterState {
        let drain = Some(DrainOverride { until: Some(Timestamp::from_millis(1_700_000_000_123)) });
        let overrides = Overrides::from([(name.to_owned(), Override { drain, ..Override::default() })]);
        RosterState { overrides, ..RosterState::default() }
    }

    /// Stops before the step of that number, or in the middle of a write.
    struct Stopped {
        at: u32,
        step: Cell<u32>,
    }

    impl Stopped {
        fn is_over(&self) -> bool {
            self.step.set(self.step.get() + 1);
            self.step.get() > self.at
        }
    }

    fn killed() -> io::Result<()> {
        Err(io::Error::other("killed"))
    }

    impl Steps for Stopped {
        fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            if self.is_over() {
                return killed();
            }
            if self.is_over() {
                Disk.write(path, &bytes[..bytes.len() / 2])?;
                return killed();
            }
            Disk.write(path, bytes)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            if self.is_over() { killed() } else { Disk.rename(from, to) }
        }

        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            if self.is_over() { killed() } else { Disk.sync_folder(folder) }
        }
    }

    #[test]
    fn a_writer_that_is_stopped_leaves_one_state_or_the_other() {
        let (old, new) = (drained("app-1"), drained("app-2"));
        let mut seen = Vec::new();
        for at in 0..=4 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("homing.state");
            let (file, _) = StateFile::open(&path).unwrap();
            file.save(&[], &old.overrides).unwrap();
            let steps = Stopped { at, step: Cell::new(0) };
            let replaced = replace(&steps, &path, text(&new).unwrap().as_bytes());
            assert_eq!(replaced.is_ok(), at == 4, "{at}");
            let (file, found) = StateFile::open(&path).unwrap();
            assert!(found == old || found == new, "{at}: {found:?}");
            seen.push(found == new);
            // Whatever was left, the next change is saved.
            file.save(&[], &drained("app-3").overrides).unwrap();
            assert_eq!(read(&path).unwrap().unwrap(), drained("app-3"), "{at}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        }
        assert_eq!(seen, [false, false, false, true, true]);
    }

    /// The control: a file that is written in place is found cut off.
    #[test]
    fn a_file_that_is_written_in_place_would_be_lost() {
        struct InPlace(Stopped);
        impl Steps for InPlace {
            fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
                self.0.write(&path.with_file_name("homing.state"), bytes)
            }
            fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
                Ok(())
            }
            fn sync_folder(&self, _: &Path) -> io::Result<()> {
                Ok(())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("homing.state");
        StateFile::open(&path).unwrap();
        let steps = InPlace(Stopped { at: 1, step: Cell::new(0) });
        replace(&steps, &path, text(&drained("app-1")).unwrap().as_bytes()).unwrap_err();
        assert!(matches!(read(&path), Err(StateFileError::Invalid { .. })));
    }

    #[test]
    fn a_file_that_is_cut_off_or_of_another_version_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("homing.state");
        let whole = text(&drained("app-1")).unwrap();
        for cut in 0..whole.len() - 1 {
            fs::write(&path, &whole[..cut]).unwrap();
            let refused = read(&path).map(drop);
            // Without its last brace it is cut off as well.
            assert!(matches!(refused, Err(StateFileError::Invalid { .. })), "{cut}: {refused:?}");
        }
        let refused = |text: &str| {
            fs::write(&path, text).unwrap();
            let error = StateFile::open(&path).unwrap_err().to_string();
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is left as it is");
            error.strip_prefix(&format!("state file {}:", path.display())).unwrap().to_owned()
        };
        assert!(refused("").starts_with("1:0: EOF while parsing a value; put a good copy"), "{}", refused(""));
        let typo = whole.replace("\"drain\"", "\"drian\"");
        assert!(refused(&typo).starts_with("5:"), "{}", refused(&typo));
        let newer = whole.replace("\"version\": 1", "\"version\": 2,\n  \"more\": {}");
        assert!(refused(&newer).contains("of version 2"), "{}", refused(&newer));
        let put = whole.replace("\"drain\": {", "\"put\": { \"address\": \"nowhere\" }, \"drain\": {");
        assert!(refused(&put).starts_with("4:0: \"app-1\": the address is not host:port"), "{}", refused(&put));
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(matches!(read(&path), Err(StateFileError::Read { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn its_mode_is_0600_and_an_unwritable_folder_is_reported() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("homing.state");
        let (file, state) = StateFile::open(&path).unwrap();
        assert_eq!(state, RosterState::default());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        file.save(&[], &drained("app-1").overrides).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let nowhere = folder.path().join("nowhere/homing.state");
        let error = StateFile::open(&nowhere).unwrap_err().to_string();
        assert!(error.contains("nowhere/homing.state: can't be written"), "{error}");
        drop(folder);
        let error = file.save(&[], &Overrides::new()).unwrap_err().to_string();
        assert!(error.contains("homing.state"), "{error}");
    }
}
