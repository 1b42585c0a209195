//! What the administration shows; nothing here changes anything.

pub(crate) mod dashboard;
pub(crate) mod events;
pub(crate) mod exposition;
pub(crate) mod feed;
pub(crate) mod history;
pub(crate) mod metrics;
pub(crate) mod recent;
pub(crate) mod reloads;
pub(crate) mod upstreams;
