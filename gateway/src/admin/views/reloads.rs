//! Whether the settings in force are those of the configuration, as Prometheus tells it of itself.

use crate::admin::Admin;
use homing::time::Timestamp;
use parking_lot::Mutex;

/// How the last reload went, where there is such a thing.
#[derive(Debug, Default)]
pub(crate) struct Reloads(Mutex<Option<LastReload>>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct LastReload {
    pub(crate) succeeded: bool,
    /// When one succeeded last.
    pub(crate) success: Timestamp,
}

impl Reloads {
    pub(crate) fn last(&self) -> Option<LastReload> {
        *self.0.lock()
    }
}

impl Admin {
    /// Says that the host has taken over a configuration, or why it has not: an event, and two metrics from the first time
    /// on. The start counts as one.
    pub fn reloaded(&self, refusal: Option<&str>) {
        let shared = self.shared();
        let now = shared.clock.now();
        let mut last = shared.reloads.0.lock();
        let before = last.map_or(Timestamp::default(), |last| last.success);
        let is_first = last.is_none();
        *last = Some(match refusal {
            None => LastReload { succeeded: true, success: now },
            Some(_) => LastReload { succeeded: false, success: before },
        });
        drop(last);
        let generation = shared.balancer.generation();
        match refusal {
            None if is_first => {}
            None => shared.feed.changed(now, "reloaded", generation, "the configuration was reloaded"),
            Some(why) => {
                let text = format!("the configuration was refused, the old one stays in force: {why}");
                shared.feed.changed(now, "reload_refused", generation, &text);
            }
        }
    }
}
