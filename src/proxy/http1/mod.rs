//! HTTP/1.1 without I/O: heads read, bodies framed and unframed, and the rules about header fields.
//!
//! What is read is parsed by [httparse](https://docs.rs/httparse) and shares the buffer it was read into. A
//! response's head goes on to the client as lines, as it came, without the fields for one hop only. Heads of requests
//! are written elsewhere (`exchange/request_head.rs`): which fields travel on is forwarding policy.
//!
//! # Why not hyper for HTTP/1.1
//!
//! hyper's client took a third of a request's instructions: a channel, a oneshot and a dispatcher between two ends that sit
//! in one task, and a map of fields that is rewritten and then copied for a possible retry. Here a head is written once,
//! straight into the bytes that are sent, and sent again. Its server took another third, and two buffers of 8 KiB for each
//! idle client. Where a parser has a choice, this one refuses: a `Content-Length` beside a `Transfer-Encoding`, a repeated
//! `Content-Length`, a bare line feed in a head. hyper serves HTTP/2, and hosts that run its server themselves
//! ([`Proxy::service`](crate::proxy::Proxy::service)).
//!
//! In reading order: `error` (what makes bytes malformed), [`fields`] (which header fields a message has, found in
//! one pass), [`header_rules`] (hop-by-hop fields, and fields that the proxy alone may set), `syntax` (lines,
//! numbers), `request` and `response` (heads), `framing` (where a body ends), `chunked` and `chunk_encoder` (the
//! chunked coding, both ways), `piece` (what decoding yields), [`date`] (the `Date` of responses).

mod chunk_encoder;
mod chunked;
pub(crate) mod date;
mod error;
pub(crate) mod fields;
mod framing;
pub(crate) mod header_rules;
mod piece;
mod request;
mod response;
mod syntax;

pub(crate) use chunk_encoder::{CHUNK_END, write_chunk_size, write_last_chunk};
pub use error::Malformed;
pub(crate) use framing::{Framing, Length};
pub(crate) use piece::Piece;
pub(crate) use request::{Received, has_end, receive};
pub(crate) use response::{ResponseHead, fields_of, status_line};
pub(crate) use syntax::line;
