//! Key rotation: puts keys in force that were changed where they are kept.

use super::audit;
use super::response::HandlerResult;
use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::context::AdminContext;
use http::StatusCode;
use serde::Serialize;
use std::net::SocketAddr;

#[derive(Serialize)]
struct RotateResponse {
    from_generation: u64,
    generation: u64,
    /// The id of the key that signs.
    signer: u8,
}

/// Reads the keys again and puts them in force. It generates no key: every proxy of the pool must have a new key before
/// any of them signs with it, and only the operator knows when that is so.
pub(crate) fn rotate(context: &AdminContext, peer: SocketAddr) -> HandlerResult {
    let refused = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "keys", detail);
    let none = |detail| Problem::new(StatusCode::NOT_FOUND, "no_keys", detail);
    let read =
        context.keys.as_ref().ok_or_else(|| none("this gateway has no key file: its keys are kept elsewhere"))?;
    if context.balancer.affinity().is_none() {
        return Err(none("affinity is off, so no key signs anything"));
    }
    let ring = read().map_err(|error| refused(error.to_string()))?;
    let (from, signer) = (context.balancer.generation(), ring.signer());
    let to = context.balancer.set_keys(ring).map_err(|error| refused(error.to_string()))?;
    let text = format!("keys read; key {signer} signs");
    audit::applied(peer, "rotate_keys", &text, from, to);
    context.feed.changed(context.clock.now(), "keys_rotated", to, &text);
    reply::json(StatusCode::OK, &RotateResponse { from_generation: from.as_u64(), generation: to.as_u64(), signer })
}
