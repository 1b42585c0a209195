//! What a finished gateway adds to the adapter.
//!
//! - [`config`]: the TOML configuration, refused with file, line, column and key;
//! - [`keyfile`]: the secret that the gateways of one pool share.
//!
//! What this module does not do: it knows no policy by name, so the names that exist come in as an
//! argument; and it logs nothing, so warnings go out as values.

pub mod config;
mod document;
pub mod keyfile;
