//! The client's side: serves accepted connections, HTTP/1.1 by a codec of its own and HTTP/2 by hyper.
//!
//! It accepts no connections and does no TLS: it is given a stream and told the protocol. What becomes of a request
//! is the exchange's business.
//!
//! In reading order: [`serve`] (a connection from beginning to end), [`watchdog`] (ends slow and idle ones),
//! [`http1`] and [`write_buffer`] (requests in, responses out), [`http2`] and [`service`] (the same through hyper).

mod http1;
mod http2;
pub(crate) mod serve;
pub(crate) mod service;
#[cfg(test)]
mod tests;
mod watchdog;
mod write_buffer;
