//! Listening sockets, TLS on them, and the worker threads that accept connections and serve them.
//!
//! A worker is one thread with one single-threaded runtime; each has listeners and connections of its own. With
//! `SO_REUSEPORT` the kernel spreads new connections over the workers' sockets, and no request ever crosses a thread.
//! Where the option is missing or spreads nothing, the workers accept from one shared socket.
//!
//! What it does not do: it reads no configuration file and handles no signal (that is [`process`](crate::Gateway));
//! what happens on a connection is [`homing::proxy`]'s.
//!
//! # What always holds
//!
//! - **An idle connection is not closed under a request.** Where its listener is closed or another process takes over,
//!   an idle HTTP/1.1 connection stays open for one more request, which is answered with `Connection: close`; a request
//!   that meets a closing socket cannot be told from one that was lost.
//! - **A connection that the kernel has completed is served.** A closing listener first accepts what is in its queue.
//!
//! In reading order: `error`, `socket` (one bound address), `predecessor` and [`inherit`] (sockets from a parent
//! process), [`tls`], `worker` (accepts and serves), [`server`] (all listeners and workers; changes and stops them).

mod error;
pub mod inherit;
#[cfg(unix)]
pub(crate) mod predecessor;
pub mod server;
pub(crate) mod socket;
pub mod tls;
mod worker;

pub use error::ServeError;
