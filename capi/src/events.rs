//! Streams of events, which the host polls.

use crate::balancer::BalancerObject;
use crate::boundary::enter;
use crate::constants::*;
use crate::memory::{Blittable, Buffer, Out};
use crate::registry::{self, Handled, Kind, Table, homing_handle};
use crate::upstream_status::number_of;
use homing::health::{Event, EventKind, Subscription};
use parking_lot::Mutex;

/// The state of an upstream changed.
pub const HOMING_EVENT_CHANGED: i32 = 0;
/// Another process is behind an upstream.
pub const HOMING_EVENT_RESTARTED: i32 = 1;
/// A draining upstream has no sessions and no requests left: it can be stopped.
pub const HOMING_EVENT_DRAINED: i32 = 2;
/// Panic mode: too many upstreams are ejected for that to be plausible, so ejections are ignored from now on.
pub const HOMING_EVENT_PANIC_BEGAN: i32 = 3;
/// Panic mode is over: ejections count again.
pub const HOMING_EVENT_PANIC_ENDED: i32 = 4;

/// An event. Set size before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct homing_event {
    /// sizeof(struct homing_event)
    pub size: usize,
    /// The time, in milliseconds since 1970.
    pub at_ms: u64,
    /// The number of events that were dropped so far because the queue of 4096 was full.
    pub missed: u64,
    /// A HOMING_EVENT_ number
    pub kind: i32,
    /// The HOMING_STATE_ before, or the incarnation before.
    pub from: i32,
    /// The HOMING_STATE_ now, or the incarnation now.
    pub to: i32,
    /// The length of the upstream's name, with which the event's text begins; 0: the event is about the cluster.
    pub name_len: u32,
}

// SAFETY: C's layout of numbers without padding, and its size comes first.
unsafe impl Blittable for homing_event {
    const FIRST: usize = size_of::<Self>();
}

pub(crate) struct EventsObject {
    subscription: Subscription,
    /// The next event, if its text did not fit into the buffer.
    next: Mutex<Option<Event>>,
}

impl Handled for EventsObject {
    const NAME: &'static str = "stream of events";

    fn table() -> &'static Table<Self> {
        static TABLE: Table<EventsObject> = Table::new(Kind::Events);
        &TABLE
    }
}

/// Creates a stream of the events of a balancer from now on, which homing_events_next() reads. It queues up to 4096
/// events. Free it with homing_events_free().
///
/// # Safety
/// events must point to a writable homing_handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_events_new(balancer: homing_handle, events: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Out::new("events", events) }?;
        let subscription =
            registry::with("balancer", balancer, |object: &BalancerObject| Ok(object.balancer.subscribe()))?;
        out.set(registry::insert(EventsObject { subscription, next: Mutex::new(None) })?);
        Ok(HOMING_OK)
    })
}

/// Takes the next event from the queue, with a line of UTF-8 text for people; HOMING_NOTHING where the queue is
/// empty. With HOMING_ERR_BUFFER the event stays in the queue.
///
/// # Safety
/// event must point to a writable struct of the size it states; cap bytes must be writable at buf, and a size_t at
/// len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_events_next(
    events: homing_handle,
    event: *mut homing_event,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let (out, text) = unsafe { (Out::sized("event", event)?, Buffer::new("text", buf, cap, len)?) };
        registry::with("events", events, |events: &EventsObject| {
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
        // One that this ABI has no number for yet. Its text says what it is.
        _ => (-1, 0, 0),
    };
    let name_len = event.upstream.as_ref().map_or(0, |name| name.len() as u32);
    homing_event { size, at_ms: event.at.as_millis(), missed, kind, from, to, name_len }
}

/// Frees a stream of events.
#[unsafe(no_mangle)]
pub extern "C" fn homing_events_free(events: homing_handle) -> i32 {
    enter(|| registry::remove::<EventsObject>("events", events).map(|()| HOMING_OK))
}
