//! One request and its response: validated, placed, forwarded, retried, answered.

pub(crate) mod body;
pub(crate) mod body_channel;
pub(crate) mod client;
pub(crate) mod forward;
pub(crate) mod place;
pub(crate) mod queue;
pub(crate) mod request_head;
pub(crate) mod response;
pub(crate) mod retry_budget;
pub(crate) mod validate;
