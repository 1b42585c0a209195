//! The last events, numbered, so that a client that reconnects continues where it was.

use super::rfc3339::rfc3339;
use crate::roster;
use homing::cluster::Generation;
use homing::health::{Event, EventKind, Subscription};
use homing::time::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

/// Events that are kept.
const KEPT: usize = 512;

/// It has no task of its own: each read first moves the events of its subscriptions over.
pub(crate) struct Feed {
    /// Distinguishes the numbers of this process from those of an earlier one.
    epoch: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    health: Subscription,
    roster: Subscription<roster::RosterEvent>,
    kept: VecDeque<Arc<str>>,
    /// The number of the last event; the first is 1.
    last: u64,
}

/// The events behind some number.
pub(crate) struct NewEvents {
    pub(crate) text: String,
    pub(crate) last: u64,
}

#[derive(Serialize)]
struct EventJson<'a> {
    at: String,
    kind: &'a str,
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    text: &'a str,
}

impl Feed {
    pub(crate) fn new(health: Subscription, roster: Subscription<roster::RosterEvent>, start: Timestamp) -> Self {
        let inner = Inner { health, roster, kept: VecDeque::new(), last: 0 };
        Self { epoch: start.as_millis(), inner: Mutex::new(inner) }
    }

    /// Records something that was done without the roster.
    pub(crate) fn changed(&self, at: Timestamp, kind: &str, generation: Generation, text: &str) {
        let generation = Some(generation.as_u64());
        let line =
            EventJson { at: rfc3339(at), kind, upstream: None, from: None, to: None, generation, by: None, text };
        let mut inner = self.inner.lock();
        // Earlier events come first.
        self.pump(&mut inner);
        self.keep(&mut inner, &line);
    }

    /// Everything that is kept behind number `after`, ready to be sent. Events no longer kept are reported by their
    /// count.
    pub(crate) fn after(&self, after: u64) -> Option<NewEvents> {
        let mut inner = self.inner.lock();
        self.pump(&mut inner);
        let inner = &*inner;
        if after >= inner.last {
            return None;
        }
        let gone = inner.last - inner.kept.len() as u64;
        let mut text = String::new();
        if after < gone && after > 0 {
            let _ = write!(text, "event: missed\ndata: {{\"missed\":{}}}\n\n", gone - after);
        }
        let skipped = usize::try_from(after.saturating_sub(gone)).unwrap_or(usize::MAX);
        inner.kept.iter().skip(skipped).for_each(|event| text.push_str(event));
        Some(NewEvents { text, last: inner.last })
    }

    /// The number of an event id of this process; `None` for any other id.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.split_once('-')?;
        let number = number.parse().ok()?;
        (epoch == format!("{:x}", self.epoch) && number <= self.inner.lock().last).then_some(number)
    }

    /// Moves the subscriptions' events over, in order of time; at the same time health comes before what was applied.
    fn pump(&self, inner: &mut Inner) {
        let health: Vec<Event> = std::iter::from_fn(|| inner.health.poll()).collect();
        let mut applied = std::iter::from_fn(|| inner.roster.poll()).collect::<Vec<_>>().into_iter().peekable();
        for event in &health {
            while let Some(earlier) = applied.next_if(|applied| applied.at < event.at) {
                self.keep_applied(inner, &earlier);
            }
            self.keep_health(inner, event);
        }
        applied.for_each(|event| self.keep_applied(inner, &event));
    }

    fn keep_health(&self, inner: &mut Inner, event: &Event) {
        let Event { at, upstream, kind, .. } = event;
        let (kind, from, to) = match kind {
            EventKind::Changed { from, to, .. } => ("state", Some(from.as_str()), Some(to.as_str())),
            EventKind::Restarted { .. } => ("restarted", None, None),
            EventKind::Drained => ("drained", None, None),
            EventKind::PanicBegan => ("panic_began", None, None),
            EventKind::PanicEnded => ("panic_ended", None, None),
            _ => ("other", None, None),
        };
        let (upstream, text) = (upstream.as_deref(), event.to_string());
        let line = EventJson { at: rfc3339(*at), kind, upstream, from, to, generation: None, by: None, text: &text };
        self.keep(inner, &line);
    }

    fn keep_applied(&self, inner: &mut Inner, event: &roster::RosterEvent) {
        let kind = match &event.kind {
            roster::RosterChange::Applied(_) => "applied",
            roster::RosterChange::Draining { .. } => "drain",
            roster::RosterChange::Resumed { .. } => "resume",
        };
        let (upstream, text) = (event.kind.upstream(), event.kind.to_string());
        let (by, generation) = (Some(event.by.as_str()), Some(event.generation.as_u64()));
        let line =
            EventJson { at: rfc3339(event.at), kind, upstream, from: None, to: None, generation, by, text: &text };
        self.keep(inner, &line);
    }

    fn keep(&self, inner: &mut Inner, line: &EventJson<'_>) {
        // serde_json escapes line feeds, so the data is one line.
        let Ok(data) = serde_json::to_string(line) else { return };
        inner.last += 1;
        if inner.kept.len() == KEPT {
            inner.kept.pop_front();
        }
        inner.kept.push_back(format!("id: {:x}-{}\ndata: {data}\n\n", self.epoch, inner.last).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed() -> Feed {
        Feed::new(Subscription::default(), Subscription::default(), Timestamp::from_millis(0xabc))
    }

    fn record(feed: &Feed, count: u64) {
        for number in 1..=count {
            feed.changed(
                Timestamp::from_secs(1),
                "keys_rotated",
                Generation::from_u64(number),
                "text\n\nevent: forged",
            );
        }
    }

    fn ids(news: &str) -> Vec<u64> {
        news.lines().filter_map(|line| line.strip_prefix("id: abc-")).map(|id| id.parse().unwrap()).collect()
    }

    #[test]
    fn a_client_that_reconnects_gets_the_events_since() {
        let feed = feed();
        assert!(feed.after(0).is_none());
        record(&feed, 3);
        let news = feed.after(0).unwrap();
        assert_eq!((ids(&news.text), news.last), (vec![1, 2, 3], 3));
        assert_eq!(ids(&feed.after(2).unwrap().text), [3]);
        assert!(feed.after(3).is_none());
        assert!(!news.text.lines().any(|line| line.starts_with("event:")), "{}", news.text);
    }

    #[test]
    fn events_no_longer_kept_are_reported_as_missed() {
        let feed = feed();
        record(&feed, 600);
        let news = feed.after(10).unwrap().text;
        assert!(news.starts_with("event: missed\ndata: {\"missed\":78}\n\n"), "{news}");
        assert_eq!(ids(&news), (89..=600).collect::<Vec<_>>());
        assert_eq!(ids(&feed.after(0).unwrap().text).len(), KEPT, "a new client misses nothing");
        assert!(!feed.after(0).unwrap().text.contains("missed"));
        assert!(!feed.after(88).unwrap().text.contains("missed"));
    }

    #[test]
    fn ids_of_other_processes_mean_nothing() {
        let feed = feed();
        record(&feed, 2);
        assert_eq!(feed.number("abc-2"), Some(2));
        for other in ["abc-3", "abd-1", "1", "", "abc-", "abc-x", "-1"] {
            assert_eq!(feed.number(other), None, "{other}");
        }
    }
}
