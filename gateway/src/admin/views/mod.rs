//! What the administration shows; nothing here changes anything.
//!
//! In reading order: `upstreams` with `recent` (traffic of the last minutes), `history`, `feed` with `event_stream` and
//! `events`, `reloads`, `metrics` with `exposition`, `dashboard`; `rfc3339` writes their timestamps.

pub(crate) mod dashboard;
pub(crate) mod event_stream;
pub(crate) mod events;
pub(crate) mod exposition;
pub(crate) mod feed;
pub(crate) mod history;
pub(crate) mod metrics;
pub(crate) mod recent;
pub(crate) mod reloads;
mod rfc3339;
pub(crate) mod upstreams;
