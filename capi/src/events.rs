//! What happened, asked for by the host when it likes.

use crate::balancer::Engine;
use crate::boundary::enter;
use crate::memory::{Blittable, Buffer, Out};
use crate::registry::{self, homing_handle};
use crate::stats::number_of;
use crate::status::*;
use homing::health::{Event, EventKind, Subscription};
use parking_lot::Mutex;

/// An upstream changed its state.
pub const HOMING_EVENT_CHANGED: i32 = 0;
/// Another process is behind an upstream.
pub const HOMING_EVENT_RESTARTED: i32 = 1;
/// A draining upstream has nothing left: it can be stopped.
pub const HOMING_EVENT_DRAINED: i32 = 2;
/// Too many upstreams look bad to believe it: judgements are ignored from here on.
pub const HOMING_EVENT_PANIC_BEGAN: i32 = 3;
/// Judgements count again.
pub const HOMING_EVENT_PANIC_ENDED: i32 = 4;

/// Something happened. Set size before.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_event {
    /// sizeof(struct homing_event)
    pub size: usize,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// How many events were missed so far, since more than 4096 waited.
    pub missed: u64,
    /// HOMING_EVENT_
    pub kind: i32,
    /// The HOMING_STATE_ before, or the incarnation.
    pub from: i32,
    /// The HOMING_STATE_ now, or the incarnation.
    pub to: i32,
    /// The event's text begins with so many bytes of the upstream's name; 0: it is about the cluster.
    pub name_len: u32,
}

// SAFETY: C's layout of numbers without padding, and its size comes first.
unsafe impl Blittable for homing_event {
    const FIRST: usize = size_of::<Self>();
}

pub(crate) struct Events {
    subscription: Subscription,
    /// The next, which was too long for the buffer.
    next: Mutex<Option<Event>>,
}

/// Collects what happens in a balancer from here on, for homing_events_next() to take; up to 4096 events
/// wait. Free it with homing_events_free().
///
/// # Safety
/// events must take a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_events_new(balancer: homing_handle, events: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Out::new("events", events) }?;
        let subscription = registry::with("balancer", balancer, |engine: &Engine| Ok(engine.balancer.subscribe()))?;
        out.set(registry::insert(Events { subscription, next: Mutex::new(None) })?);
        Ok(HOMING_OK)
    })
}

/// Takes the next event, with a line of UTF-8 text for people, or returns HOMING_NOTHING. With
/// HOMING_ERR_BUFFER the event stays.
///
/// # Safety
/// event must be a struct of its size, buf must take cap bytes, and len a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_events_next(
    events: homing_handle,
    event: *mut homing_event,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let (out, text) = unsafe { (Out::sized("event", event)?, Buffer::new("text", buf, cap, len)?) };
        registry::with("events", events, |events: &Events| {
            let mut waiting = events.next.lock();
            if waiting.is_none() {
                *waiting = events.subscription.poll();
            }
            let Some(event) = &*waiting else {
                text.fill(&[])?;
                return Ok(HOMING_NOTHING);
            };
            text.fill(event.to_string().as_bytes())?;
            out.set(numbers(event, events.subscription.missed(), out.size()));
            *waiting = None;
            Ok(HOMING_OK)
        })
    })
}

fn numbers(event: &Event, missed: u64, size: usize) -> homing_event {
    let (kind, from, to) = match event.kind {
        EventKind::Changed { from, to, .. } => (HOMING_EVENT_CHANGED, number_of(from), number_of(to)),
        EventKind::Restarted { from, to } => (HOMING_EVENT_RESTARTED, from.into(), to.into()),
        EventKind::Drained => (HOMING_EVENT_DRAINED, 0, 0),
        EventKind::PanicBegan => (HOMING_EVENT_PANIC_BEGAN, 0, 0),
        EventKind::PanicEnded => (HOMING_EVENT_PANIC_ENDED, 0, 0),
    };
    let name_len = event.upstream.as_ref().map_or(0, |name| name.len() as u32);
    homing_event { size, at_ms: event.at.as_millis(), missed, kind, from, to, name_len }
}

/// Ends a stream of events.
#[unsafe(no_mangle)]
pub extern "C" fn homing_events_free(events: homing_handle) -> i32 {
    enter(|| registry::remove::<Events>("events", events).map(|()| HOMING_OK))
}
