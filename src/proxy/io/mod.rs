//! Reads, writes, timers and wakers, as the data plane needs them.
//!
//! What is here knows neither HTTP nor upstreams: it works on any `AsyncRead` and `AsyncWrite`. All of it serves one
//! aim: a busy connection costs few system calls and no timer operation, and an idle one holds no buffer.
//!
//! In reading order: [`read_buffer`] (reads into blocks that all connections of a thread share), [`write`](mod@write)
//! (the one write loop), [`timer`] (deadlines that move with every request), [`latched_waker`] (events that a busy
//! task hardly ever has to poll for), [`lingering_close`] (closes a socket without a reset). Tests have streams in
//! memory (`scripted`).

pub(crate) mod latched_waker;
pub(crate) mod lingering_close;
pub(crate) mod read_buffer;
#[cfg(test)]
pub(crate) mod scripted;
pub(crate) mod timer;
pub(crate) mod write;
