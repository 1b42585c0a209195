//! Events of health and membership, and polled subscriptions to them.

use super::{Cause, State};
use crate::cluster::Upstream;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};

/// The events that a subscription queues. Beyond that, the oldest is dropped.
const KEPT: usize = 4096;

/// A change of one upstream or of the cluster. Its `Display` is a line for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Event {
    /// The time of the change.
    pub at: Timestamp,
    /// The upstream's name; `None` where the event concerns the whole cluster.
    pub upstream: Option<Box<str>>,
    /// The change.
    pub kind: EventKind,
}

/// The kinds of changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// An upstream changed its state.
    Changed {
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// The cause of the change.
        cause: Cause,
    },
    /// The upstream's process was replaced: sessions in the memory of the previous one are lost.
    Restarted {
        /// The previous incarnation.
        from: u16,
        /// The current incarnation.
        to: u16,
    },
    /// A draining upstream has no session and no request left: it can be stopped.
    Drained,
    /// So many upstreams are out that the judgements are probably wrong: they are ignored from here on.
    PanicBegan,
    /// Judgements are in force again.
    PanicEnded,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(upstream) = &self.upstream {
            write!(f, "{upstream}: ")?;
        }
        match self.kind {
            EventKind::Changed { from, to, cause } => write!(f, "{from} -> {to}: {cause}"),
            EventKind::Restarted { from, to } => write!(f, "another process (incarnation {from} -> {to})"),
            EventKind::Drained => f.write_str("drained: nothing is left on it"),
            EventKind::PanicBegan => f.write_str("too many upstreams look bad: judgements are ignored"),
            EventKind::PanicEnded => f.write_str("judgements count again"),
        }
    }
}

/// Receives every event since [`Balancer::subscribe`](crate::Balancer::subscribe), or since another source of events of
/// type `E` returned it. Polled: there is no callback, and dropping the subscription ends it. It queues up to 4096
/// events and drops the oldest beyond that. Safe from any thread.
#[derive(Debug)]
pub struct Subscription<E = Event>(Arc<Mutex<Queue<E>>>);

#[derive(Debug)]
struct Queue<E> {
    events: VecDeque<E>,
    missed: u64,
}

impl<E> Subscription<E> {
    /// Takes the oldest queued event, if there is one. Locks this subscription's queue.
    #[must_use]
    pub fn poll(&self) -> Option<E> {
        self.0.lock().events.pop_front()
    }

    /// How many events were dropped because the queue was full.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.lock().missed
    }
}

/// A subscription without a source: it never receives an event.
impl<E> Default for Subscription<E> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Queue { events: VecDeque::new(), missed: 0 })))
    }
}

/// A source of events: the list of its live subscriptions.
#[derive(Debug)]
pub struct Subscribers<E = Event>(Vec<Weak<Mutex<Queue<E>>>>);

impl<E> Default for Subscribers<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E: Clone> Subscribers<E> {
    /// Adds a subscription to the events that are sent from now on.
    pub fn subscribe(&mut self) -> Subscription<E> {
        let subscription = Subscription::default();
        self.0.push(Arc::downgrade(&subscription.0));
        subscription
    }

    /// Queues `event` at every subscription, and removes the subscriptions that were dropped.
    pub fn send(&mut self, event: &E) {
        self.0.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let mut queue = queue.lock();
            if queue.events.len() == KEPT {
                queue.events.pop_front();
                queue.missed += 1;
            }
            queue.events.push_back(event.clone());
            true
        });
    }
}

impl Subscribers {
    pub(super) fn publish(&mut self, at: Timestamp, upstream: Option<&Upstream>, kind: EventKind) {
        self.send(&Event { at, upstream: upstream.map(|upstream| upstream.name().into()), kind });
    }
}
