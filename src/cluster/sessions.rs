//! How many sessions live on an upstream, from their nonces alone.
//!
//! Linear counting (Whang, Vander-Zanden and Taylor, "A linear-time probabilistic counting algorithm for database
//! applications", ACM TODS 15(2), 1990): every session marks one of m slots, chosen by its nonce, and the number of
//! slots still empty says how many sessions there are. There are two maps of slots, one for the window of time that
//! runs and one for the window before; a session counts while it has a mark in either. So one that stays away is
//! forgotten between one and two windows after its last request, and nobody has to say goodbye.
//!
//! Nonces come from signed tokens, so clients cannot choose their slots. A client that keeps no cookies makes a new
//! session with each request, here as on the upstream, and each is forgotten with its window.
//!
//! # Error
//!
//! The standard deviation is sqrt(m(e^t - t - 1)) sessions at a load of t = n/m sessions a slot (theorem 3 of the
//! paper): with m = 4104 it is 1.1 % of 100 to 1000 sessions, 1.8 % of 10,000, 3.6 % of 20,000 and 8 % of 30,000.
//! Beyond, the slots run out, and the estimate ends at 36,514.
//!
//! # Races
//!
//! Windows are not rotated by anybody: each word carries the number of the window it was last written in, and whoever
//! writes it next brings it up to date in the same compare-exchange. No mark of the present window can be lost by
//! that. What threads on both sides of a window's end may do is mark a session in the one window and count it in the
//! other; such a count is off by one until it is forgotten with its window.

use crate::sync::{AtomicU64, Ordering};
use crate::time::Timestamp;

/// The marks of one window that share a word with those of the window before and the window's number.
const SLOTS: u32 = 24;
#[cfg(not(homing_loom))]
const WORDS: usize = 171;
#[cfg(homing_loom)]
const WORDS: usize = 2;
const M: usize = WORDS * SLOTS as usize;

/// Two maps of marks and their counts; 1.4 kB for who counts, nothing for who does not.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// What `words` add up to, so that an estimate reads one word: see [`Counts`].
    counts: AtomicU64,
    /// How many of those counted live elsewhere now, by the window of their marks.
    moved: AtomicU64,
    /// Each the window's number (16 bits), marks of the window before (24 bits), marks of the window (24 bits).
    words: Box<[AtomicU64]>,
    /// A window is 2^scale seconds long.
    scale: u8,
}

impl Sessions {
    /// Counts in windows of 2^`scale` seconds, or not at all.
    pub(crate) fn new(scale: Option<u8>) -> Self {
        let words = scale.map_or(0, |_| WORDS);
        Self {
            counts: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            scale: scale.unwrap_or_default(),
        }
    }

    /// The session of this nonce has a request now. One load where it had one before in this window.
    ///
    /// Relaxed is enough: a word is all there is to know about its marks, and nothing else is published by it.
    pub(crate) fn touch(&self, nonce: u64, now: Timestamp) {
        let Some((word, mark)) = self.slot(nonce) else { return };
        let window = self.window(now);
        let mut seen = word.load(Ordering::Relaxed);
        let before = loop {
            let marks = Marks::at(seen, window);
            if marks.current & mark != 0 {
                return;
            }
            let next = Marks { current: marks.current | mark, ..marks }.word();
            match word.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break marks.previous,
                Err(now) => seen = now,
            }
        };
        let count = |seen| Some(Counts::at(seen, window).one_more(before & mark == 0).word());
        // Never refuses, since `count` never does.
        let _ = self.counts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    /// The session of this nonce went elsewhere. Its marks stay, since others may share them.
    pub(crate) fn move_away(&self, nonce: u64, now: Timestamp) {
        let Some((word, mark)) = self.slot(nonce) else { return };
        let window = self.window(now);
        let marks = Marks::at(word.load(Ordering::Relaxed), window);
        let count = |seen| {
            let counts = Counts::at(seen, window);
            match (marks.current & mark != 0, marks.previous & mark != 0) {
                (true, _) => Some(counts.one_more(false).word()),
                (false, true) => Some(Counts { previous: counts.previous.saturating_add(1), ..counts }.word()),
                (false, false) => None,
            }
        };
        // Refused where it was not counted.
        let _ = self.moved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    /// How many of those that the estimate counts went elsewhere.
    pub(crate) fn moved(&self, now: Timestamp) -> u32 {
        let counts = Counts::at(self.moved.load(Ordering::Relaxed), self.window(now));
        u32::from(counts.previous) + u32::from(counts.current)
    }

    /// The word and the mark of this nonce; `None` for who does not count.
    fn slot(&self, nonce: u64) -> Option<(&AtomicU64, u32)> {
        let scaled = |bits: u64, count: u64| ((bits & 0xffff_ffff) * count) >> 32;
        let word = self.words.get(scaled(nonce >> 32, WORDS as u64) as usize)?;
        Some((word, 1 << scaled(nonce, u64::from(SLOTS))))
    }

    /// About how many sessions had a request in this window or the last. Two loads.
    pub(crate) fn estimate(&self, now: Timestamp) -> u32 {
        let counts = Counts::at(self.counts.load(Ordering::Relaxed), self.window(now));
        let marked = usize::from(counts.previous) + usize::from(counts.fresh);
        ESTIMATES[marked.min(M)]
    }

    /// The number of the window at `now`, modulo 2^16: a word that nobody wrote for just so many windows (of two
    /// minutes: three months) may bring back a mark.
    fn window(&self, now: Timestamp) -> u16 {
        (now.as_secs() >> self.scale) as u16
    }
}

/// By the number of marks: m(H(m) - H(empty)), how many sessions it takes on average to make so many. It is the
/// paper's -m ln(empty/m) less the bias that the paper gives, and has a value where no slot is empty.
static ESTIMATES: [u32; M + 1] = {
    let mut table = [0; M + 1];
    let (mut marked, mut sessions) = (0, 0.0);
    while marked < M {
        sessions += M as f64 / (M - marked) as f64;
        marked += 1;
        table[marked] = (sessions + 0.5) as u32;
    }
    table
};

/// What has become of a word of window `written` by window `now`.
enum Age {
    Current,
    Previous,
    Gone,
}

/// A clock that lags behind another thread's by a window is let do so; one that went back further starts anew.
fn age(written: u16, now: u16) -> Age {
    match now.wrapping_sub(written) {
        0 | u16::MAX => Age::Current,
        1 => Age::Previous,
        _ => Age::Gone,
    }
}

/// The marks in a word, as of some window.
#[derive(Clone, Copy)]
struct Marks {
    window: u16,
    previous: u32,
    current: u32,
}

impl Marks {
    fn at(word: u64, window: u16) -> Self {
        let written = (word >> (2 * SLOTS)) as u16;
        let [previous, current] = [word >> SLOTS, word].map(|bits| bits as u32 & ((1 << SLOTS) - 1));
        match age(written, window) {
            Age::Current => Self { window: written, previous, current },
            Age::Previous => Self { window, previous: current, current: 0 },
            Age::Gone => Self { window, previous: 0, current: 0 },
        }
    }

    fn word(self) -> u64 {
        u64::from(self.window) << (2 * SLOTS) | u64::from(self.previous) << SLOTS | u64::from(self.current)
    }
}

/// How many marks there are, as of some window: 16 bits each, above them the window's number.
#[derive(Clone, Copy)]
struct Counts {
    window: u16,
    previous: u16,
    current: u16,
    /// Those of `current` that the window before does not have.
    fresh: u16,
}

impl Counts {
    fn at(word: u64, window: u16) -> Self {
        let [written, previous, current, fresh] = [word >> 48, word >> 32, word >> 16, word].map(|bits| bits as u16);
        match age(written, window) {
            Age::Current => Self { window: written, previous, current, fresh },
            Age::Previous => Self { window, previous: current, current: 0, fresh: 0 },
            Age::Gone => Self { window, previous: 0, current: 0, fresh: 0 },
        }
    }

    fn one_more(self, fresh: bool) -> Self {
        Self { current: self.current.saturating_add(1), fresh: self.fresh.saturating_add(u16::from(fresh)), ..self }
    }

    fn word(self) -> u64 {
        [self.window, self.previous, self.current, self.fresh].iter().fold(0, |word, n| word << 16 | u64::from(*n))
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
