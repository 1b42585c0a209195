//! What the administration changes. Every change is one plan, applied whole or not at all, and one line of the audit
//! log.
//!
//! In reading order: `audit`, `response`, `operator` (plan, apply, put, remove, drain, resume), `instances` (register,
//! heartbeat, deregister), `keys` (rotation).

pub(crate) mod audit;
pub(crate) mod instances;
pub(crate) mod keys;
pub(crate) mod operator;
mod response;
