//! The C ABI: what `include/homing.h` declares.
//!
//! A file a kind of handle. Everything that comes from a host goes through three gates: `memory` looks at its pointers,
//! `registry` and `leases` at its handles, and `boundary` lets no panic out. The header is made of this module by
//! cbindgen, so the comments on what is exported are for programmers of C. Its head, with the conventions, stands in
//! `cbindgen.toml`.

#![allow(non_camel_case_types, reason = "the names are those of C")]
#![allow(unsafe_code, reason = "the memory of the host is reached by pointers")]

mod balancer;
mod boundary;
mod config;
mod events;
mod failure;
mod health;
mod keyring;
mod leases;
mod log;
mod memory;
mod parts;
mod pick;
mod plan;
mod registry;
mod request;
mod stats;
mod status;
mod version;

#[cfg(test)]
mod tests;

pub use balancer::*;
pub use config::*;
pub use events::*;
pub use health::*;
pub use keyring::*;
pub use log::*;
pub use parts::*;
pub use pick::*;
pub use plan::*;
pub use registry::homing_handle;
pub use request::*;
pub use stats::*;
pub use status::*;
pub use version::*;
