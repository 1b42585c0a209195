//! The gateway: a session-affinity reverse proxy that is configured by a file, watched and changed over HTTP.
//!
//! The program `homing` is a command line around this library; everything that forwards requests is [`homing::proxy`].
//!
//! The rooms, in reading order; each knows only those before it:
//!
//! - [`roster`]: the upstreams that should be in the cluster, by configuration, registration and overrides;
//! - [`discovery`]: sources of upstreams: a file, the DNS, etcd;
//! - [`config`]: the TOML configuration, refused with file, line, column and key;
//! - [`following`]: the thread that applies to the roster what a discovery source reports;
//! - [`listen`]: listeners and workers, with TLS;
//! - [`admin`]: administration over HTTP, and its listener;
//! - `setup`: from a configuration to a [`Proxy`](homing::proxy::Proxy), a roster and an administration;
//! - `process`: [`Gateway`], which serves what a file says, reloads it, and hands over to a successor.
//!
//! `thread` and `file_watch` are small tools that several rooms use.

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
pub use process::{Gateway, StartError};
pub use setup::{SetupError, TokenFileError, check, setup, setup_roster, setup_with};
