//! Configuration files and key files: TOML whose every error says file, line, column and key.
//!
//! - [`keyfile`]: the secret that the proxies of one pool share.

pub(crate) mod document;
pub mod keyfile;

pub use document::{ConfigError, Diagnostic};
