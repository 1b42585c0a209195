//! The last heartbeat and report of each instance.

use super::report::InstanceReport;
use homing::time::{CLOCK_TOLERANCE, Timestamp};
use std::collections::HashMap;

/// The last heartbeats, by a clock without jumps.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    now: Timestamp,
    by_name: HashMap<String, Heartbeat>,
}

#[derive(Debug, Default)]
struct Heartbeat {
    last: Timestamp,
    report: Option<(InstanceReport, Timestamp)>,
}

impl Heartbeats {
    /// Records a heartbeat, with its report, if any.
    pub(super) fn record(&mut self, name: &str, report: Option<InstanceReport>, now: Timestamp) {
        self.advance(now);
        let heartbeat = self.by_name.entry(name.to_owned()).or_default();
        heartbeat.last = now;
        if let Some(report) = report {
            heartbeat.report = Some((report, now));
        }
    }

    /// The time of the last heartbeat; now, for an instance without one.
    pub(super) fn last(&self, name: &str) -> Timestamp {
        self.by_name.get(name).map_or(self.now, |heartbeat| heartbeat.last)
    }

    pub(super) fn report(&self, name: &str) -> Option<(InstanceReport, Timestamp)> {
        self.by_name.get(name)?.report
    }

    pub(super) fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.by_name.retain(|name, _| is_known(name));
    }

    /// Time passes. Where the clock jumped, or the process was suspended, heartbeats could not be received meanwhile:
    /// the last ones count as being as long ago as before.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let (back, ahead) = (self.now.since(now), now.since(self.now));
        for Heartbeat { last, .. } in self.by_name.values_mut() {
            if back > CLOCK_TOLERANCE {
                *last = last.before(back);
            } else if ahead > CLOCK_TOLERANCE {
                *last = last.after(ahead);
            }
        }
        self.now = if back > CLOCK_TOLERANCE { now } else { self.now.max(now) };
    }
}
