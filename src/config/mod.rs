//! Configuration files and key files: TOML whose every error says file, line, column and key.
//!
//! Unknown keys are refused. What one key may be is decided where it is read (`value`); what several keys may be
//! together, in `check`.
//!
//! - [`Engine`]: what a balancer reads whose host does the input and output itself;
//! - [`keyfile`]: the secret that the proxies of one pool share.

mod accept;
mod affinity;
pub mod check;
pub mod document;
mod engine;
pub mod keyfile;
pub mod parts;
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
