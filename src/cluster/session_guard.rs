//! Sessions that are there although they make no requests: each holds a WebSocket, say.

use super::Upstream;
use super::sessions::Sessions;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The sessions that are held on one upstream. No pick looks here but one that is about to move a session.
#[derive(Debug, Default)]
pub(super) struct GuardedSessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By their session ids.
    sessions: HashMap<u64, Guarded>,
    /// In which they were counted as live last.
    window: Option<u16>,
}

#[derive(Debug, Default)]
struct Guarded {
    times: usize,
    /// In which window it was let go. Who was there until then may be about to open another WebSocket.
    left: Option<u16>,
}

impl GuardedSessions {
    /// Whether it is held, or was in this window or the last.
    pub(super) fn has(&self, session_id: u64) -> bool {
        self.0.lock().sessions.contains_key(&session_id)
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().sessions.len()
    }

    /// Counts them as live at `now`: once a window, since one that was there in a window counts until the end of the next.
    pub(super) fn touch(&self, live: &Sessions, now: Timestamp) {
        let window = Some(live.window(now));
        let held: Vec<u64> = {
            let Inner { sessions, window: last } = &mut *self.0.lock();
            let ended = std::mem::replace(last, window);
            if ended == window {
                return;
            }
            sessions.retain(|_, held| held.times > 0 || held.left == ended);
            sessions.iter().filter(|(_, held)| held.times > 0).map(|(session_id, _)| *session_id).collect()
        };
        held.iter().for_each(|session_id| live.touch(*session_id, now));
    }
}

/// A session that stays where it is while this lives: see [`Upstream::guard_session`].
#[derive(Debug)]
#[must_use = "the session is held for as long as this lives"]
pub struct SessionGuard {
    upstream: Arc<Upstream>,
    session_id: u64,
}

impl SessionGuard {
    pub(super) fn new(upstream: Arc<Upstream>, session_id: u64) -> Self {
        upstream.guarded().0.lock().sessions.entry(session_id).or_default().times += 1;
        Self { upstream, session_id }
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let Inner { sessions, window } = &mut *self.upstream.guarded().0.lock();
        if let Some(held) = sessions.get_mut(&self.session_id) {
            held.times -= 1;
            held.left = *window;
        }
    }
}
