//! Sessions that are there although they make no requests: each holds a WebSocket, say.

use super::Upstream;
use super::sessions::Sessions;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// The sessions that are held on one upstream. No pick that places or pins looks here.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How often each is held, by its nonce.
    sessions: HashMap<u64, usize>,
    /// In which they were counted as live last.
    window: Option<u16>,
}

impl Holds {
    pub(super) fn has(&self, nonce: u64) -> bool {
        self.0.lock().sessions.contains_key(&nonce)
    }

    /// Counts them as live at `now`: once a window, since one that was there in a window counts until the end of the next.
    pub(super) fn touch(&self, live: &Sessions, now: Timestamp) {
        let mut inner = self.0.lock();
        let window = Some(live.window(now));
        if std::mem::replace(&mut inner.window, window) != window {
            inner.sessions.keys().for_each(|nonce| live.touch(*nonce, now));
        }
    }
}

/// A session that stays where it is while this lives: see [`Upstream::hold`].
#[derive(Debug)]
#[must_use = "the session is held for as long as this lives"]
pub struct Hold {
    upstream: Arc<Upstream>,
    nonce: u64,
}

impl Hold {
    pub(super) fn new(upstream: Arc<Upstream>, nonce: u64) -> Self {
        *upstream.holds().0.lock().sessions.entry(nonce).or_default() += 1;
        Self { upstream, nonce }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Entry::Occupied(mut held) = self.upstream.holds().0.lock().sessions.entry(self.nonce) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}
