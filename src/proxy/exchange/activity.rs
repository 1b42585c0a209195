//! What a client connection is busy with.
//!
//! Flags and counters tell idle from slow without a timer or a clock reading per request: the connection's watchdog
//! compares them when its own timer fires.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Written by the requests and the socket of a connection, read by its watchdog.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Bytes have come since the last exchange ended: they begin the head of a request.
    head: AtomicBool,
    /// Exchanges that wait for their upstream.
    waiting: AtomicU32,
    /// Exchanges that send their response.
    streaming: AtomicU32,
    /// Counts successful reads and writes.
    progress: AtomicU32,
    /// Counts what moves requests and responses on: control frames of HTTP/2 do not.
    payload: AtomicU32,
    /// A request was not read to its end, and more of it may be on its way.
    unread: AtomicBool,
    /// The connection is to accept no further request.
    stopped: AtomicBool,
    /// The head of a request took too long.
    late: AtomicBool,
}

/// Writes up to this size may be HTTP/2's pings and acknowledgements.
const CONTROL_FRAMES: usize = 32;

/// What a connection is busy with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Kept alive for the next request.
    Idle,
    /// Receiving the head of a request.
    Head,
    /// Waiting for an upstream, which has timeouts of its own.
    Waiting,
    /// Sending responses.
    Streaming,
}

impl Activity {
    pub(crate) fn phase(&self) -> Phase {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            Phase::Waiting
        } else if self.streaming.load(Ordering::Relaxed) > 0 {
            Phase::Streaming
        } else if self.head.load(Ordering::Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    pub(crate) fn progress(&self) -> u32 {
        self.progress.load(Ordering::Relaxed)
    }

    pub(crate) fn payload(&self) -> u32 {
        self.payload.load(Ordering::Relaxed)
    }

    pub(crate) fn note_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn note_late(&self) {
        self.late.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// Whether a part of a head has been read.
    pub(crate) fn note_head(&self, begun: bool) {
        self.head.store(begun, Ordering::Relaxed);
    }

    pub(crate) fn note_read(&self) {
        self.head.store(true, Ordering::Relaxed);
        increment(&self.progress);
    }

    pub(crate) fn note_write(&self, bytes: usize) {
        increment(&self.progress);
        if bytes > CONTROL_FRAMES {
            increment(&self.payload);
        }
    }

    pub(crate) fn note_frame(&self) {
        increment(&self.payload);
    }

    /// An exchange waits for its upstream from now on.
    pub(super) fn begin_exchange(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.head.store(false, Ordering::Relaxed);
        self.note_frame();
    }

    /// A waiting exchange sends its response from now on.
    pub(super) fn begin_streaming(&self) {
        self.streaming.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn end_exchange(&self, was_streaming: bool) {
        let count = if was_streaming { &self.streaming } else { &self.waiting };
        count.fetch_sub(1, Ordering::Relaxed);
        // Bytes that were read meanwhile were this exchange's body; a next head shows by its own bytes.
        self.head.store(false, Ordering::Relaxed);
    }
}

fn increment(counter: &AtomicU32) {
    // A lost increment does no harm; a locked addition per write would cost.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}
