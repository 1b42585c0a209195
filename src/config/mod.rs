//! Configuration files and key files: TOML tables from which a balancer is built. Every error states file, line, column
//! and key.
//!
//! Unknown keys are refused. A value is validated where it is deserialized (`value.rs`), combinations of values in
//! `check.rs`. Tables for listeners, TLS, probing and administration belong to the gateway, not to this module; it
//! opens no file but the key file, watches none and reads no environment.
//!
//! Files, in reading order:
//!
//! - `document.rs`: a TOML text whose errors carry positions. `value.rs`: deserializers of single values.
//! - `affinity.rs` with `accept.rs`, `policy.rs`, `upstream.rs`, `tables.rs`: one table each, or several small ones.
//! - `engine.rs`: [`Engine`], the configuration of a balancer without a gateway.
//! - `balancer_tables.rs`: builds a balancer from the tables. `check.rs`: validates them together.
//! - [`keyfile`]: the key file, whose secrets the proxies of a pool share.
//!
//! # Invariants
//!
//! - An error about a key file never contains a secret, nor does its `Debug` output.
//! - A key file appears complete or not at all, and is never replaced.

mod accept;
mod affinity;
pub mod balancer_tables;
pub mod check;
pub mod document;
mod engine;
pub mod keyfile;
mod policy;
pub mod tables;
mod upstream;
pub mod value;

pub use accept::Accept;
pub use affinity::{Affinity, OnUnavailable};
pub use document::{ConfigError, Diagnostic};
pub use engine::{Engine, Health};
pub use policy::Policy;
pub use tables::{Drain, Rebalance};
pub use upstream::Upstream;
