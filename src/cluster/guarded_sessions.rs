//! Sessions that stay live without requests, such as those of pages that have a WebSocket open.
//!
//! An open tunnel carries no token, so no request shows that its session lives. Tunnels guard their sessions; a guarded
//! session counts as live and is not rebalanced.

use super::sessions::Sessions;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;

/// The guarded sessions of one upstream. The only pick that reads them, and takes the lock, is one about to rebalance a
/// session.
#[derive(Debug, Default)]
pub(super) struct GuardedSessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By session id.
    sessions: HashMap<u64, Guarded>,
    /// The window in which they were last counted as live.
    window: Option<u16>,
}

#[derive(Debug, Default)]
struct Guarded {
    /// Guards alive.
    guards: usize,
    /// The window in which a guard was last dropped. The session stays guarded to the end of the next one, since its
    /// page may be about to open another WebSocket.
    left: Option<u16>,
}

impl GuardedSessions {
    /// Adds a guard of this session.
    pub(super) fn add(&self, session_id: u64) {
        self.0.lock().sessions.entry(session_id).or_default().guards += 1;
    }

    /// Removes a guard of this session.
    pub(super) fn remove(&self, session_id: u64) {
        let Inner { sessions, window } = &mut *self.0.lock();
        if let Some(guarded) = sessions.get_mut(&session_id) {
            guarded.guards -= 1;
            guarded.left = *window;
        }
    }

    /// Whether the session is guarded, or was in this window or the previous one.
    pub(super) fn has(&self, session_id: u64) -> bool {
        self.0.lock().sessions.contains_key(&session_id)
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().sessions.len()
    }

    /// Counts the guarded sessions as live at `now`. Does so once per window, since a session seen in one window counts
    /// until the end of the next.
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
