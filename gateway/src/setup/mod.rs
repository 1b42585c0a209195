//! From a configuration to the parts of a gateway: the proxy with its TLS, the administration, and the roster.
//!
//! It reads what the configuration names (keys, certificates, token, state file) and starts nothing: no thread, no
//! socket.
//!
//! In reading order: `error`, `token_file`, `proxy`, `roster`, `admin`, `check` (everything together, for `homing check`).

mod admin;
mod check;
mod error;
mod proxy;
mod roster;
mod token_file;

pub(crate) use admin::{admin_token, setup_admin};
pub use check::check;
pub use error::SetupError;
pub(crate) use proxy::{acceptor, existing_keys, proxy};
pub use proxy::{setup, setup_with};
pub use roster::setup_roster;
pub use token_file::TokenFileError;
