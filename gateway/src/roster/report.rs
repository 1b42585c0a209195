//! What instances say of themselves, and when they were heard of last.

use super::RosterError;
use homing::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// What an instance says of itself. What is `None` it does not say.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceReport {
    /// Sessions in its memory.
    pub sessions: Option<u64>,
    /// Memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// Threads that it has.
    pub threads: Option<u64>,
    /// Processor cores in use, 0.25 being a quarter of one; finite and not negative.
    pub cpu: Option<f64>,
}

impl InstanceReport {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`RosterError::Report`].
    pub fn check(&self) -> Result<(), RosterError> {
        match self.cpu {
            Some(cpu) if !(cpu.is_finite() && cpu >= 0.0) => Err(RosterError::Report),
            _ => Ok(()),
        }
    }
}

/// When who was heard of, by a clock that does not jump.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    now: Timestamp,
    by_name: HashMap<String, Instance>,
}

#[derive(Debug, Default)]
struct Instance {
    seen: Timestamp,
    report: Option<(InstanceReport, Timestamp)>,
}

impl Heartbeats {
    /// Somebody was heard of, and with a report says this.
    pub(super) fn note(&mut self, name: &str, report: Option<InstanceReport>, now: Timestamp) {
        self.look(now);
        let instance = self.by_name.entry(name.to_owned()).or_default();
        instance.seen = now;
        if let Some(report) = report {
            instance.report = Some((report, now));
        }
    }

    /// When it was heard of last. Of whom nothing is known it is assumed to be now.
    pub(super) fn seen(&self, name: &str) -> Timestamp {
        self.by_name.get(name).map_or(self.now, |instance| instance.seen)
    }

    pub(super) fn report(&self, name: &str) -> Option<(InstanceReport, Timestamp)> {
        self.by_name.get(name)?.report
    }

    pub(super) fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.by_name.retain(|name, _| is_known(name));
    }

    /// Time passes. Where the clock jumped, or nobody looked for so long, nobody knows who would have been heard of
    /// meanwhile: everything is as long ago as it was.
    pub(super) fn look(&mut self, now: Timestamp) {
        /// Threads that read the clock one after the other may come here in another order.
        const CROSSING: Duration = Duration::from_secs(2);
        let (back, ahead) = (self.now.since(now), now.since(self.now));
        for Instance { seen, .. } in self.by_name.values_mut() {
            if back > CROSSING {
                *seen = seen.before(back);
            } else if ahead > CROSSING {
                *seen = seen.after(ahead);
            }
        }
        self.now = if back > CROSSING { now } else { self.now.max(now) };
    }
}
