//! Whether the settings in force are those of the configuration, as Prometheus exposes it of its own configuration.

use homing::time::Timestamp;
use parking_lot::Mutex;

/// The outcome of the last reload; none where the host reloads nothing.
#[derive(Debug, Default)]
pub(crate) struct Reloads(Mutex<Option<LastReload>>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct LastReload {
    pub(crate) succeeded: bool,
    /// When a reload succeeded last; the epoch where none has.
    pub(crate) success: Timestamp,
}

impl Reloads {
    pub(crate) fn last(&self) -> Option<LastReload> {
        *self.0.lock()
    }

    /// Returns whether it is the first.
    pub(crate) fn record(&self, succeeded: bool, now: Timestamp) -> bool {
        let mut last = self.0.lock();
        let before = last.map_or(Timestamp::default(), |last| last.success);
        let is_first = last.is_none();
        *last = Some(LastReload { succeeded, success: if succeeded { now } else { before } });
        is_first
    }
}
