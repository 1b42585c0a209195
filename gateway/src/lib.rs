//! The gateway: a session-affinity reverse proxy that is configured by a file, watched and changed over HTTP.
//!
//! The program `homing` is a command line around this library; everything that forwards requests is
//! [`homing::proxy`]. In reading order:
//!
//! - [`config`]: the TOML configuration, refused with file, line, column and key;
//! - [`setup`](setup()): from a configuration to a [`Proxy`](homing::proxy::Proxy);
//! - [`server`] and [`tls`]: listeners and workers, with TLS in front;
//! - [`Gateway`]: a process that serves what a file says, follows it, and hands over to a successor;
//! - [`roster`]: the upstreams that are meant to be in the cluster, by configuration, registration and operators;
//! - [`setup_roster`] and [`state`]: what operators changed, kept in a file;
//! - [`discovery`] and [`following`]: upstreams from a file, the DNS or etcd, and the thread that follows them;
//! - [`admin`] and [`admin_server`]: administration over HTTP, and the address that it has of its own.

pub mod admin;
pub mod config;
pub mod discovery;
mod file_watch;
pub mod following;
pub mod listen;
mod process;
pub mod roster;
mod setup;
mod thread;

pub use homing::config::keyfile;
pub use listen::inherit::Inherited;
pub use process::gateway::{Gateway, StartError};
pub use roster::ticker::{RosterTicker, setup_roster};
pub use setup::{SetupError, check, setup, setup_with};
