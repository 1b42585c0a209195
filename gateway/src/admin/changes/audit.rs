//! One log line for each change: the address that made it, and the generations before and after.

use crate::admin::api::problem::Problem;
use homing::cluster::Generation;
use std::fmt;
use std::net::SocketAddr;

/// The `tracing` target of changes made over HTTP, at level INFO, and of requests that were not admitted, at WARN.
pub const AUDIT_TARGET: &str = "homing::audit";

/// `peer` did `action`, to one upstream or to all of them at once.
pub(crate) fn applied(peer: SocketAddr, action: &str, what: impl fmt::Display, from: Generation, to: Generation) {
    let (from, to) = (from.as_u64(), to.as_u64());
    tracing::info!(target: AUDIT_TARGET, %peer, action, what = what.to_string(), from, to);
}

/// A request of `peer` was not admitted.
pub(crate) fn refused(peer: SocketAddr, problem: &Problem) {
    tracing::warn!(target: AUDIT_TARGET, %peer, refused = problem.code());
}
