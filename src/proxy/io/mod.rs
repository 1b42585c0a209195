//! Reads, writes, timers and wakers that know no HTTP.

pub(crate) mod latched_waker;
pub(crate) mod lingering_close;
pub(crate) mod read_buffer;
pub(crate) mod timer;
pub(crate) mod write;
