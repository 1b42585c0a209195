//! What a finished gateway adds to the adapter; `examples/gateway` is little more than a command line around it.
//!
//! - [`Gateway`]: a process that serves what a file says, and follows it;
//! - [`config`]: the TOML configuration, refused with file, line, column and key;
//! - [`keyfile`]: the secret that the gateways of one pool share;
//! - [`setup`](setup()): from a configuration to a [`Proxy`](crate::proxy::Proxy);
//! - [`tls`]: TLS in front;
//! - [`discovery`]: follows a source of upstreams;
//! - [`server`]: listeners and workers;
//! - [`admin`]: the [administration](crate::admin) on an address of its own;
//! - [`setup_roster`]: what operators changed, kept in a [state file](state).

pub mod admin;
mod companion;
pub mod config;
pub mod discovery;
mod inherit;
mod reload;
mod roster;
mod run;
pub mod server;
mod setup;
mod signals;
pub mod state;
mod supervisor;
pub mod tls;
#[cfg(unix)]
mod upgrade;

pub use crate::config::keyfile;
pub use inherit::Inherited;
pub use roster::{RosterKeeper, setup_roster};
pub use run::{Gateway, StartError};
pub use setup::{SetupError, check, setup, setup_with};
