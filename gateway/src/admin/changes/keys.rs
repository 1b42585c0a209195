//! Taking over keys that were changed where they are kept.

use crate::admin::AdminBody;
use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::builder::AdminContext;
use crate::admin::changes::audit;
use http::{Response, StatusCode};
use serde::Serialize;
use std::net::SocketAddr;

#[derive(Serialize)]
struct RotateResponse {
    from_generation: u64,
    generation: u64,
    /// The id of the key that signs.
    signer: u8,
}

/// Reads the keys anew and has the balancer take them over. It makes no key itself: those who share the pool have to get
/// each new key before anybody signs with it, and only the operator knows when they have.
pub(crate) fn rotate(shared: &AdminContext, peer: SocketAddr) -> Result<Response<AdminBody>, Problem> {
    let refused = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "keys", detail);
    let none = |detail| Problem::new(StatusCode::NOT_FOUND, "no_keys", detail);
    let read = shared.keys.as_ref().ok_or_else(|| none("no keys to read were configured here"))?;
    if shared.balancer.affinity().is_none() {
        return Err(none("there is no affinity, so no key signs anything"));
    }
    let ring = read().map_err(|error| refused(error.to_string()))?;
    let (from, signer) = (shared.balancer.generation(), ring.signer());
    let to = shared.balancer.set_keys(ring).map_err(|error| refused(error.to_string()))?;
    let text = format!("keys read; key {signer} signs");
    audit::done(peer, "rotate_keys", &text, from, to);
    shared.feed.changed(shared.clock.now(), "keys_rotated", to, &text);
    reply::json(StatusCode::OK, &RotateResponse { from_generation: from.as_u64(), generation: to.as_u64(), signer })
}
