//! One line for each change: who made it, and from which generation to which.

use crate::admin::api::problem::Problem;
use homing::cluster::Generation;
use std::fmt;
use std::net::SocketAddr;

/// The `tracing` target of changes made over HTTP, at level INFO, and of those who were not let in, at WARN.
pub const AUDIT_TARGET: &str = "homing::audit";

/// Says that `peer` did `action`: to one upstream, or to all of them at once.
pub(crate) fn done(peer: SocketAddr, action: &str, what: impl fmt::Display, from: Generation, to: Generation) {
    let (from, to) = (from.as_u64(), to.as_u64());
    tracing::info!(target: AUDIT_TARGET, %peer, action, what = what.to_string(), from, to);
}

/// Says that `peer` was not let in.
pub(crate) fn refused(peer: SocketAddr, problem: &Problem) {
    tracing::warn!(target: AUDIT_TARGET, %peer, refused = problem.code());
}
