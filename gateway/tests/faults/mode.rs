//! How an instance fails.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Serve,
    /// Accepts, reads, and never responds, not even to probes.
    Mute,
    /// Reads a request and resets its connection, probes too.
    Reset,
    /// Resets in the middle of a response's head.
    CutHead,
    /// Resets in the middle of a body with a length.
    CutBody,
    /// Resets in the middle of a chunked body.
    CutChunks,
    /// Serves, and tells probes 503 with `Retry-After`.
    Full,
    /// Takes so many milliseconds for a visit.
    Slow(u64),
}

const WORDS: [(Mode, &str); 7] = [
    (Mode::Serve, "serve"),
    (Mode::Mute, "mute"),
    (Mode::Reset, "reset"),
    (Mode::CutHead, "cut-head"),
    (Mode::CutBody, "cut-body"),
    (Mode::CutChunks, "cut-chunks"),
    (Mode::Full, "full"),
];

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, WORDS.iter().find(|(mode, _)| mode == self)) {
            (Self::Slow(milliseconds), _) => write!(f, "slow:{milliseconds}"),
            (_, Some((_, word))) => f.write_str(word),
            (mode, None) => write!(f, "{mode:?}"),
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let slow = text.strip_prefix("slow:").and_then(|milliseconds| milliseconds.parse().ok());
        let known = WORDS.iter().find(|(_, word)| *word == text).map(|(mode, _)| *mode);
        known.or(slow.map(Self::Slow)).ok_or_else(|| format!("no such mode: {text}"))
    }
}
