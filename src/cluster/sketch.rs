//! A sketch: the marks of an upstream's live sessions that one proxy sends to another.

/// The marks of one window in a word, beside those of the previous window and the window's number.
pub(super) const SLOTS: u32 = 24;
#[cfg(not(homing_loom))]
pub(super) const WORDS: usize = 171;
#[cfg(homing_loom)]
pub(super) const WORDS: usize = 2;

/// The version of the format, the first byte.
const VERSION: u8 = 1;
/// Version, length of the window, number of the window.
const HEAD: usize = 4;
/// Six bytes a word: the marks of both windows.
const WORD: usize = 2 * SLOTS as usize / 8;
/// The largest scale. A window is 2^scale seconds long.
const MAX_SCALE: u8 = 31;

/// The marks of one upstream's live sessions at one time. See [`Upstream::sketch`](super::Upstream::sketch).
///
/// It reveals the number of sessions and nothing else: no session id can be derived from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sketch {
    pub(super) scale: u8,
    /// The window's number, modulo 2^16.
    pub(super) window: u16,
    /// All words of a count.
    pub(super) words: Box<[Seen]>,
}

/// The marks of a word in two windows.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    pub(super) previous: u32,
    pub(super) current: u32,
}

impl Seen {
    /// The marks as of `later` windows later; empty if both windows are over or have not begun.
    pub(super) fn as_of(self, later: u16) -> Self {
        match later {
            0 => self,
            1 => Self { previous: self.current, current: 0 },
            u16::MAX => Self { previous: 0, current: self.previous },
            _ => Self::default(),
        }
    }
}

/// Why bytes could not be read as a sketch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SketchError {
    /// Written by another version of this library.
    #[error("a sketch of version {found} cannot be read, only {VERSION}: let all proxies run the same version")]
    Version {
        /// The version found.
        found: u8,
    },
    /// Truncated, or not a sketch.
    #[error("{length} bytes are not a valid sketch: truncated, damaged or something else")]
    Malformed {
        /// The number of bytes.
        length: usize,
    },
}

impl Sketch {
    /// Whether it has no mark.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|seen| *seen == Seen::default())
    }

    /// Encodes it, the same on every platform: 4 bytes, then for each run of words with marks 2 bytes and 6 per word,
    /// so at most 1032 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.scale];
        bytes.extend(self.window.to_be_bytes());
        let mut words = &*self.words;
        while !words.is_empty() {
            let empty = words.iter().take_while(|seen| **seen == Seen::default()).count();
            words = &words[empty..];
            let run = words.iter().take_while(|seen| **seen != Seen::default()).count();
            let (marked, rest) = words.split_at(run);
            // There are fewer than 256 words.
            bytes.extend([empty as u8, run as u8]);
            for seen in marked {
                let both = u64::from(seen.previous) << SLOTS | u64::from(seen.current);
                bytes.extend(&both.to_be_bytes()[size_of::<u64>() - WORD..]);
            }
            words = rest;
        }
        bytes
    }

    /// Decodes the output of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`SketchError`] if the bytes are of another version, or no output of `to_bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let malformed = SketchError::Malformed { length: bytes.len() };
        let (head, mut rest) = bytes.split_first_chunk::<HEAD>().ok_or(malformed)?;
        let &[version, scale, high, low] = head;
        if version != VERSION {
            return Err(SketchError::Version { found: version });
        }
        if scale > MAX_SCALE {
            return Err(malformed);
        }
        let mut words = vec![Seen::default(); WORDS].into_boxed_slice();
        let mut at = 0;
        while let Some(([empty, run], runs)) = rest.split_first_chunk() {
            let (from, run) = (at + usize::from(*empty), usize::from(*run));
            let marked = runs.get(..run * WORD).ok_or(malformed)?;
            at = from + run;
            let room = words.get_mut(from..at).ok_or(malformed)?;
            for (seen, bytes) in room.iter_mut().zip(marked.chunks_exact(WORD)) {
                let both = bytes.iter().fold(0_u64, |both, byte| both << 8 | u64::from(*byte));
                let mask = (1 << SLOTS) - 1;
                *seen = Seen { previous: (both >> SLOTS) as u32 & mask, current: both as u32 & mask };
            }
            rest = &runs[run * WORD..];
        }
        let sketch = Self { scale, window: u16::from_be_bytes([high, low]), words };
        // Only the canonical encoding is accepted: each sketch has exactly one.
        if sketch.to_bytes() == bytes { Ok(sketch) } else { Err(malformed) }
    }
}

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let marks = |seen: &Seen| (seen.previous | seen.current).count_ones();
        let marks: u32 = self.words.iter().map(marks).sum();
        f.debug_struct("Sketch")
            .field("scale", &self.scale)
            .field("window", &self.window)
            .field("marks", &marks)
            .finish()
    }
}
