//! What the tests of the gateway stand on: the program as a child process, upstreams whose every
//! byte is scripted and logged, and clients that send what no library would.

pub mod certificate;
pub mod client;
pub mod frames;
pub mod gateway;
pub mod h2;
pub mod head;
pub mod load;
pub mod pattern;
pub mod upstream;
pub mod visitor;
mod wait;
pub mod websocket;
pub mod wire;

pub use wait::{GUARD, until};
