//! An estimate of the live sessions of an upstream, from their session ids alone.
//!
//! Linear counting (Whang, Vander-Zanden and Taylor, "A linear-time probabilistic counting algorithm for database
//! applications", ACM TODS 15(2), 1990): every session marks one of m slots, chosen by its session id, and the number
//! of empty slots gives the estimate. There are two maps of slots, one for the current window of time and one for the
//! previous window; a session counts while it has a mark in either. So a session without requests is forgotten between
//! one and two windows after its last one, without an explicit end.
//!
//! Session ids come from signed tokens, so clients cannot choose their slots. A client that keeps no cookies makes a
//! new session with each request, here as on the upstream, and each is forgotten with its window.
//!
//! # Error
//!
//! The standard deviation is sqrt(m(e^t - t - 1)) sessions at a load of t = n/m sessions per slot (theorem 3 of the
//! paper): with m = 4104 it is 1.1 % of 100 to 1000 sessions, 1.8 % of 10,000, 3.6 % of 20,000 and 8 % of 30,000.
//! Beyond that all slots fill up, and the estimate ends at 36,514.
//!
//! # Races
//!
//! No thread rotates the windows. The two maps share words, and each word carries the number of the window in which it
//! was last written; the next writer brings it up to date in the same compare-exchange. So no mark of the current
//! window can be lost. Each compare-exchange determines the marks that the word gained, and as of which window; exactly
//! that gain is added to the counts, so they are right in whatever order threads add to them.
//!
//! # Many proxies
//!
//! A session id has the same slot on every proxy, so the union of the marks of several proxies equals the marks of one
//! proxy that saw all requests. A [`Sketch`] of another proxy is absorbed by OR, word by word and window by window: one
//! that arrives late, twice or out of order changes nothing.

use super::sketch::{SLOTS, Seen, Sketch, WORDS};
use crate::sync::{AtomicU64, Ordering};
use crate::time::Timestamp;

const M: usize = WORDS * SLOTS as usize;

/// Two maps of marks and their counts: 1.4 kB per upstream with affinity, none without. Every balancer with affinity
/// counts, whatever its policy, because operators read the counts too.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// The number of marks in `words` as [`Counts`], so that an estimate reads one word.
    counts: AtomicU64,
    /// The counted sessions that moved to another upstream, by the window of their marks.
    moved: AtomicU64,
    /// Each word: the window's number (16 bits), marks of the previous window (24 bits), marks of the window (24 bits).
    words: Box<[AtomicU64]>,
    /// A window is 2^scale seconds long.
    scale: u8,
}

impl Sessions {
    /// Counts in windows of 2^`scale` seconds; `None` counts nothing.
    pub(crate) fn new(scale: Option<u8>) -> Self {
        let words = scale.map_or(0, |_| WORDS);
        Self {
            counts: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            scale: scale.unwrap_or_default(),
        }
    }

    /// Marks the session as live at `now`. One load if it was marked before in this window.
    ///
    /// Relaxed is enough: a word holds its marks completely and publishes nothing else.
    pub(crate) fn touch(&self, session_id: u64, now: Timestamp) {
        let Some((word, mark)) = self.slot(session_id) else { return };
        let window = self.window(now);
        let mut seen = word.load(Ordering::Relaxed);
        let gain = loop {
            let marks = Marks::at(seen, window);
            if marks.current & mark != 0 {
                return;
            }
            let next = Marks { current: marks.current | mark, ..marks };
            match word.compare_exchange_weak(seen, next.word(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break Gain::between(marks, next),
                Err(now) => seen = now,
            }
        };
        self.count(gain);
    }

    fn count(&self, gain: Gain) {
        let count = |seen| Some(Counts::at(seen, gain.window).with(gain).word());
        // Never fails, since `count` returns no `None`.
        let _ = self.counts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    /// Counts a session that moved to another upstream. Its marks stay, since other sessions may share them.
    pub(crate) fn move_away(&self, session_id: u64, now: Timestamp) {
        let Some((word, mark)) = self.slot(session_id) else { return };
        let window = self.window(now);
        let marks = Marks::at(word.load(Ordering::Relaxed), window);
        let count = |seen| {
            let counts = Counts::at(seen, window);
            match (marks.current & mark != 0, marks.previous & mark != 0) {
                (true, _) => Some(Counts { current: counts.current.saturating_add(1), ..counts }.word()),
                (false, true) => Some(Counts { previous: counts.previous.saturating_add(1), ..counts }.word()),
                (false, false) => None,
            }
        };
        // Fails if the session was not counted, and changes nothing then.
        let _ = self.moved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    /// How many of the sessions in the estimate moved to another upstream.
    pub(crate) fn moved(&self, now: Timestamp) -> u32 {
        let counts = Counts::at(self.moved.load(Ordering::Relaxed), self.window(now));
        u32::from(counts.previous) + u32::from(counts.current)
    }

    /// The word and the mark of this session id; `None` if nothing is counted.
    fn slot(&self, session_id: u64) -> Option<(&AtomicU64, u32)> {
        let scaled = |bits: u64, count: u64| ((bits & 0xffff_ffff) * count) >> 32;
        let word = self.words.get(scaled(session_id >> 32, WORDS as u64) as usize)?;
        Some((word, 1 << scaled(session_id, u64::from(SLOTS))))
    }

    /// The estimated number of sessions with a request in this window or the previous one. Two loads.
    pub(crate) fn estimate(&self, now: Timestamp) -> u32 {
        let counts = Counts::at(self.counts.load(Ordering::Relaxed), self.window(now));
        ESTIMATES[counts.marked()]
    }

    /// The marks as of `now`, or as of the next window if a thread whose clock is ahead has begun it.
    pub(crate) fn sketch(&self, now: Timestamp) -> Sketch {
        let words: Vec<u64> = self.words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        let now = self.window(now);
        let window = words.iter().map(|word| Marks::at(*word, now).window).find(|window| *window != now).unwrap_or(now);
        let seen = |word: &u64| {
            let Marks { previous, current, .. } = Marks::at(*word, window);
            Seen { previous, current }
        };
        let words = (0..WORDS).map(|index| words.get(index).map_or(Seen::default(), seen));
        Sketch { scale: self.scale, window, words: words.collect() }
    }

    /// Absorbs the marks of a sketch that are of this window or the previous one. Returns false if it has marks of the
    /// next window, which can be absorbed only once that has begun.
    ///
    /// One load per word, and a compare-exchange for each word that gains marks.
    pub(crate) fn absorb(&self, sketch: &Sketch, now: Timestamp) -> bool {
        if self.words.is_empty() || sketch.scale != self.scale {
            return true;
        }
        let window = self.window(now);
        for (word, seen) in self.words.iter().zip(&sketch.words) {
            if *seen != Seen::default() {
                self.absorb_word(word, window, |of| seen.as_of(of.wrapping_sub(sketch.window)));
            }
        }
        // A sketch of the previous window was absorbed whole; of windows further away nothing can be.
        sketch.window.wrapping_sub(window) != 1 || sketch.words.iter().all(|seen| seen.current == 0)
    }

    /// Adds to a word the marks that were seen as of the word's window.
    fn absorb_word(&self, word: &AtomicU64, window: u16, seen_as_of: impl Fn(u16) -> Seen) {
        let mut known = word.load(Ordering::Relaxed);
        let gain = loop {
            let marks = Marks::at(known, window);
            let seen = seen_as_of(marks.window);
            let next =
                Marks { previous: marks.previous | seen.previous, current: marks.current | seen.current, ..marks };
            if (next.previous, next.current) == (marks.previous, marks.current) {
                return;
            }
            match word.compare_exchange_weak(known, next.word(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break Gain::between(marks, next),
                Err(now) => known = now,
            }
        };
        self.count(gain);
    }

    /// The number of the window at `now`, modulo 2^16. A word that was not written for exactly 2^16 windows (three
    /// months at two minutes each) may bring back an old mark.
    pub(super) fn window(&self, now: Timestamp) -> u16 {
        (now.as_secs() >> self.scale) as u16
    }
}

/// The estimate by the number of marks: m(H(m) - H(empty)), the average number of sessions that make so many marks. It
/// is the paper's -m ln(empty/m) less the bias that the paper gives, and has a value even if no slot is empty.
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

/// The age of a word, by the window in which it was written.
enum Age {
    Current,
    Previous,
    Gone,
}

/// The age in window `now` of a word that was written in window `written`. A clock that lags behind another thread's by
/// one window is tolerated; one that went back further starts counting anew.
fn age(written: u16, now: u16) -> Age {
    match now.wrapping_sub(written) {
        0 | u16::MAX => Age::Current,
        1 => Age::Previous,
        _ => Age::Gone,
    }
}

/// The marks in a word, as of one window.
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

/// The number of marks, as of one window. Packed as 16 bits each, above them the window's number.
#[derive(Clone, Copy)]
struct Counts {
    window: u16,
    previous: u16,
    current: u16,
    /// The marks of `current` that the previous window does not have. A signed number: absorbing a mark of the previous
    /// window may subtract here before a concurrent touch has added.
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

    fn with(self, gain: Gain) -> Self {
        if self.window == gain.window {
            return Self {
                previous: self.previous.wrapping_add(gain.previous),
                current: self.current.wrapping_add(gain.current),
                fresh: self.fresh.wrapping_add(gain.fresh),
                ..self
            };
        }
        // The window has ended meanwhile: what was current is previous now.
        Self { previous: self.previous.wrapping_add(gain.current), ..self }
    }

    /// The number of slots with a mark in either window.
    fn marked(self) -> usize {
        let fresh = isize::from(self.fresh.cast_signed());
        usize::from(self.previous).saturating_add_signed(fresh).min(M)
    }

    fn word(self) -> u64 {
        [self.window, self.previous, self.current, self.fresh].iter().fold(0, |word, n| word << 16 | u64::from(*n))
    }
}

/// The marks that a word gained, as of its window.
#[derive(Clone, Copy)]
struct Gain {
    window: u16,
    previous: u16,
    current: u16,
    /// May be negative.
    fresh: u16,
}

impl Gain {
    fn between(before: Marks, after: Marks) -> Self {
        let more = |after: u32, before: u32| (after.count_ones() as u16).wrapping_sub(before.count_ones() as u16);
        Self {
            window: after.window,
            previous: more(after.previous, before.previous),
            current: more(after.current, before.current),
            fresh: more(after.current & !after.previous, before.current & !before.previous),
        }
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
