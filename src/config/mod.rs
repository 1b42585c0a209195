//! Configuration files and key files: TOML whose every error says file, line, column and key.
//!
//! Unknown keys are refused. A value is checked where it is read (`value.rs`), and what several keys may be together in
//! `check.rs`. Nothing here watches a file, reads the environment or starts anything.
//!
//! Files, in reading order:
//!
//! - `document.rs`: a TOML text whose errors have their place; `value.rs`: types of single values; `check.rs`.
//! - The tables: `affinity.rs` with `accept.rs`, `policy.rs`, `tables.rs` (outlier, slow start, failover, drain,
//!   rebalance), `upstream.rs`. `balancer_tables.rs` makes a balancer of them.
//! - `engine.rs`: [`Engine`], the file of a host that does the input and output itself.
//! - `keyfile/`: the secrets that the proxies of one pool share.

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
