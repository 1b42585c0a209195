//! The administration as other programs judge it. What needs none of them is in the suite `gateway`.

mod document;
#[allow(dead_code, reason = "the suite `gateway` needs more of it")]
#[path = "../../gateway/admin/host.rs"]
mod host;
mod metrics;
