//! One gateway as a process: started from its configuration file, reloaded, upgraded, and stopped.
//!
//! It puts the parts together and decides when what happens; what each part does is in its own module. It parses no
//! command line.
//!
//! # What always holds
//!
//! - **A reload is whole or nothing.** Whatever can fail (parsing, keys, certificates, binding addresses) has been done
//!   when the first setting changes.
//! - **A connection keeps the settings it began with;** what all connections share (queue, retry budget) changes at
//!   once.
//! - **An upgrade loses no connection.** Both processes accept from the same sockets until the new one reports that it
//!   accepts; then the old one stops accepting and lets what it has finish.
//!
//! In reading order: `signals`, `systemd`, `administration` (the admin server with what it was built from), `gateway`
//! (start), `reload` (reads and checks a configuration), `apply` (puts it in force), `upgrade` (starts a successor),
//! `handover` (lets it take over), `run` (the loop over signals and file changes, and the end).

mod administration;
mod apply;
mod gateway;
#[cfg(unix)]
mod handover;
mod reload;
mod run;
mod signals;
mod systemd;
#[cfg(unix)]
mod upgrade;

pub use gateway::{Gateway, StartError};
