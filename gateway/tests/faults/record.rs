//! An instance's record of what it executes, written before it responds: one line each, appended to a file, so that
//! `kill -9` loses nothing of it. Tests judge from these files.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process began; its id is the process's.
    Start,
    /// A connection was accepted.
    Accept,
    /// Its health was asked for.
    Probe,
    Get,
    Post,
    /// A WebSocket was opened.
    Socket,
}

const WORDS: [(Kind, &str); 6] = [
    (Kind::Start, "START"),
    (Kind::Accept, "ACCEPT"),
    (Kind::Probe, "PROBE"),
    (Kind::Get, "GET"),
    (Kind::Post, "POST"),
    (Kind::Socket, "SOCKET"),
];

#[derive(Clone, Debug)]
pub struct Record {
    /// Microseconds since the Unix epoch.
    pub at: u64,
    pub kind: Kind,
    /// The path of a request, unique to it.
    pub id: String,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WORDS.iter().find(|(kind, _)| kind == self).map_or("?", |(_, word)| word))
    }
}

/// Microseconds since the Unix epoch, the same for all processes.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_micros() as u64
}

/// The file's end, to write to.
pub struct Journal(File);

impl Journal {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }

    /// One write a line: a process that is killed has written it or has not.
    pub fn note(&self, kind: Kind, id: &str) -> io::Result<()> {
        (&self.0).write_all(format!("{} {kind} {id}\n", now()).as_bytes())
    }
}

/// All that was written into the file so far.
pub fn read(path: &Path) -> Vec<Record> {
    read_from(path, 0)
}

/// Where the file ends now.
pub fn end(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

/// What was written behind that place.
pub fn read_from(path: &Path, place: u64) -> Vec<Record> {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        file.seek(SeekFrom::Start(place)).expect("seek in a journal");
        file.read_to_string(&mut text).expect("read a journal");
    }
    text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("{}: {line:?}", path.display()))).collect()
}

fn parse(line: &str) -> Option<Record> {
    let mut parts = line.split(' ');
    let at = parts.next()?.parse().ok()?;
    let word = parts.next()?;
    let (kind, _) = WORDS.into_iter().find(|(_, known)| *known == word)?;
    Some(Record { at, kind, id: parts.next()?.to_owned() })
}
