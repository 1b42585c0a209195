//! How long an upstream has sent no response, noticed by its counters.

use super::Silence;
use crate::cluster::Upstream;
use crate::time::Timestamp;
use std::time::Duration;

/// The time since the last response of an upstream, as far as its counters were read.
#[derive(Clone, Copy, Debug)]
pub(super) struct SilenceTracker {
    /// The response count when a response was last noticed.
    responses: u32,
    /// Requests leased when a response was last noticed.
    total: u64,
    /// Since when requests wait without any response.
    since: Option<Timestamp>,
    /// When a response was last noticed.
    responded_at: Timestamp,
}

impl SilenceTracker {
    /// The upstream responded at `now`, be it with an error.
    pub(super) fn new(upstream: &Upstream, now: Timestamp) -> Self {
        let responses = upstream.outcome_counters().responses();
        Self { responses, total: upstream.total(), since: None, responded_at: now }
    }

    /// Notices responses, and requests that wait.
    pub(super) fn observe(&mut self, upstream: &Upstream, now: Timestamp) {
        if self.responses != upstream.outcome_counters().responses() {
            *self = Self::new(upstream, now);
        } else if self.since.is_none() && self.waiting(upstream) > 0 && upstream.in_flight() > 0 {
            self.since = Some(now);
        }
    }

    pub(super) fn responses(&self) -> u32 {
        self.responses
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Whether there was no response for `after`, while at least `min_requests` arrived.
    pub(super) fn has_lasted(&self, upstream: &Upstream, after: Duration, min_requests: u32, now: Timestamp) -> bool {
        now.since(self.responded_at) >= after && self.waiting(upstream) >= u64::from(min_requests)
    }

    /// Whether requests have waited for as long as the settings allow, and still do.
    pub(super) fn is_silent(&self, upstream: &Upstream, settings: Silence, now: Timestamp) -> bool {
        let long = self.since.is_some_and(|since| now.since(since) >= settings.after);
        let many = self.waiting(upstream) >= u64::from(settings.min_requests);
        !settings.after.is_zero() && long && many && upstream.in_flight() > 0
    }

    /// The times that move with the clock.
    pub(super) fn times_mut(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        self.since.iter_mut().chain([&mut self.responded_at])
    }

    /// Requests leased since the last response.
    fn waiting(&self, upstream: &Upstream) -> u64 {
        upstream.total().wrapping_sub(self.total)
    }
}
