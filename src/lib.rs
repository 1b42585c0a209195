//! Session-affinity load balancing that you can embed.
#![forbid(unsafe_code)]

pub mod affinity;
pub mod cluster;
mod hash;
pub mod policy;
pub mod rng;
mod sync;
pub mod time;

pub use time::Timestamp;
