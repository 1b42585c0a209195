//! The client's side: an accepted connection, HTTP/1.1 by a codec of its own and HTTP/2 by hyper.

mod http1;
mod http2;
pub(crate) mod serve;
pub(crate) mod service;
mod write_buffer;
