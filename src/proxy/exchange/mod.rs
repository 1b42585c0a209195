//! One request and its response: validated, placed, forwarded, sent again where that is safe, answered.
//!
//! An exchange does not know how its client is read and written: a request comes as parts and a body, whether from the
//! HTTP/1.1 server or from hyper, and leaves as a [`response::DownstreamResponse`]. It opens no listener and judges no
//! upstream; it reports outcomes.
//!
//! What always holds:
//! - **A request is sent again only if nothing of it was sent, or it is idempotent, has no body and nothing came back**
//!   ([`retry_plan`]).
//! - **The longest wait is served first** of the requests that could take a place that comes free ([`queue`]).
//! - **A connection keeps the settings that it began with** ([`worker`]); what all share (queue, retry budget)
//!   changes for all at once.
//! - **Hop-by-hop fields are removed before ours are added,** so no `Connection` option can remove ours, nor `Host`,
//!   `Cookie` or `Content-*` ([`request_head`]).
//! - **A body that was cut short is never ended as if it were complete.** Its error becomes the connection's. (A
//!   client of HTTP/1.0 learns the end of a body of unknown length from the end of the connection, and cannot know.)
//!
//! In reading order: [`worker`] (what the connections of a worker share), [`client`] and [`activity`] (a client
//! connection, and what it is busy with), [`respond`] (the entry), [`validate`] (what is no valid request),
//! [`forward`] (the way of one request), [`placement`] and [`queue`] (picking an upstream, and waiting for one), [`request_head`] (what the upstream gets), [`retry_plan`] and [`retry_budget`] (what is sent
//! again), [`request_body`] and [`body_channel`] (a body on its way in), [`response`] and [`response_body`] (what
//! goes back), [`upgrade`] (after a 101).

pub(crate) mod activity;
pub(crate) mod body_channel;
pub(crate) mod client;
mod forward;
mod placement;
pub(crate) mod queue;
pub(crate) mod request_body;
mod request_head;
pub(crate) mod respond;
pub(crate) mod response;
pub(crate) mod response_body;
pub(crate) mod retry_budget;
mod retry_plan;
pub(crate) mod upgrade;
pub(crate) mod validate;
pub(crate) mod worker;
