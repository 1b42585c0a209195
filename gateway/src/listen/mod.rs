//! Listening sockets and the workers that accept from them.

pub mod inherit;
pub mod server;
pub mod tls;
