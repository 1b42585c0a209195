//! Those modules of the gateway's tests that the tests of the nginx module need: scripted upstreams, clients, and the gateway itself.

#![allow(dead_code, reason = "shared with the gateway's tests")]

#[path = "../../tests/support/client.rs"]
pub mod client;
#[path = "../../tests/support/gateway.rs"]
pub mod gateway;
#[path = "../../tests/support/head.rs"]
pub mod head;
#[path = "../../tests/support/upstream.rs"]
pub mod upstream;
#[path = "../../tests/support/visitor.rs"]
pub mod visitor;
#[path = "../../tests/support/wait.rs"]
mod wait;
#[path = "../../tests/support/wire.rs"]
pub mod wire;

pub use wait::{GUARD, until};
