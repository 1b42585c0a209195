//! HTTP as the administration speaks it: which requests are let in, where they lead, and the form of what is sent back.
//! It knows no balancer.
//!
//! In reading order: [`routes`], [`access`] with its [`token`], [`body`], [`reply`], and [`problem`] for what is
//! refused.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod problem;
pub(crate) mod reply;
pub(crate) mod routes;
pub(crate) mod token;
