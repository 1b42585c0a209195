//! The sessions of one upstream that are kept live while they have a tunnel: a page with a WebSocket makes no requests.

use super::sessions::Sessions;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;

/// The sessions with guards on one upstream. Behind a lock; the only pick that takes it is about to rebalance a
/// session.
#[derive(Debug, Default)]
pub(super) struct GuardedSessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By their session ids.
    sessions: HashMap<u64, Guarded>,
    /// The window in which they were last counted as live.
    window: Option<u16>,
}

#[derive(Debug, Default)]
struct Guarded {
    guards: usize,
    /// The window in which the last guard was dropped. The page may be about to reconnect.
    left: Option<u16>,
}

impl GuardedSessions {
    /// Counts one more guard of this session.
    pub(super) fn add(&self, session_id: u64) {
        self.0.lock().sessions.entry(session_id).or_default().guards += 1;
    }

    /// Counts one guard less.
    pub(super) fn remove(&self, session_id: u64) {
        let Inner { sessions, window } = &mut *self.0.lock();
        if let Some(guarded) = sessions.get_mut(&session_id) {
            guarded.guards -= 1;
            guarded.left = *window;
        }
    }

    /// Whether the session has a guard, or had one in this window or the last.
    pub(super) fn has(&self, session_id: u64) -> bool {
        self.0.lock().sessions.contains_key(&session_id)
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().sessions.len()
    }

    /// Counts the guarded sessions as live at `now`. Once a window is enough: a mark counts until the end of the next
    /// window.
    pub(super) fn touch(&self, live: &Sessions, now: Timestamp) {
        let window = Some(live.window(now));
        let held: Vec<u64> = {
            let Inner { sessions, window: last } = &mut *self.0.lock();
            let ended = std::mem::replace(last, window);
            if ended == window {
                return;
            }
            sessions.retain(|_, held| held.guards > 0 || held.left == ended);
            sessions.iter().filter(|(_, held)| held.guards > 0).map(|(session_id, _)| *session_id).collect()
        };
        held.iter().for_each(|session_id| live.touch(*session_id, now));
    }
}
