//! Events of upstreams and the cluster, for subscribers.

use super::{Cause, State};
use crate::cluster::Upstream;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};

/// How many events a subscription queues. One that is further behind misses the oldest.
const KEPT: usize = 4096;

/// An event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// The upstream; `None` where it concerns the cluster.
    pub upstream: Option<Box<str>>,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// An upstream changed its state.
    Changed {
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// Why.
        cause: Cause,
    },
    /// Another process is behind an upstream.
    Restarted {
        /// Its number before.
        from: u16,
        /// Its number now.
        to: u16,
    },
    /// A draining upstream has neither requests nor sessions left: it can be stopped.
    Drained,
    /// Panic mode begins: so many upstreams look bad that judgements are ignored.
    PanicBegan,
    /// Panic mode ends: judgements count again.
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

/// Receives every event from [`Balancer::subscribe`](crate::Balancer::subscribe) on, or of another kind from whatever
/// gave it. Polled: nothing calls back, and dropping it ends it. Up to 4096 events wait; who is further behind misses
/// the oldest.
#[derive(Debug)]
pub struct Subscription<E = Event>(Arc<Mutex<Queue<E>>>);

#[derive(Debug)]
struct Queue<E> {
    events: VecDeque<E>,
    missed: u64,
}

impl<E> Subscription<E> {
    /// The next event, if one has happened. Takes a lock for a moment.
    #[must_use]
    pub fn poll(&self) -> Option<E> {
        self.0.lock().events.pop_front()
    }

    /// How many events were missed for want of polling.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.lock().missed
    }
}

/// A subscription that receives nothing.
impl<E> Default for Subscription<E> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Queue { events: VecDeque::new(), missed: 0 })))
    }
}

/// All subscriptions that are still alive.
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

    /// Sends `event` to every subscription, and forgets those that were dropped.
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
