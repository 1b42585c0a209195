//! After a 101: bytes both ways until both sides have ended, or until the upstream's drain ends the tunnel.
//!
//! A tunnel knows two byte streams and, of a WebSocket, where frames end; not how the upstream was picked, nor what is
//! held open meanwhile. A WebSocket is idle almost always, so an idle tunnel holds no buffer.
//!
//! What always holds: **no Close is written inside a WebSocket's frame.** Frames of both ways are followed without
//! being held (24 bytes each way), and a Close goes between two. A stream that breaks the protocol's rules is
//! followed no further, and its sides get the end of the stream alone.
//!
//! In reading order: [`frames`] (where WebSocket frames end), [`direction`] (one way of a tunnel), [`copy`] (both
//! ways), [`mod@close`] (a graceful end by the proxy), [`drain_notification`] (when that is due).

mod close;
mod copy;
mod direction;
pub(crate) mod drain_notification;
mod frames;
#[cfg(test)]
mod tests;

pub(crate) use copy::{TunnelProtocol, tunnel};
