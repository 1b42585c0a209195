//! One gateway as a process: started from its configuration file, reloaded, upgraded and stopped.

pub mod gateway;
pub mod reload;
pub mod signals;
pub mod systemd;
#[cfg(unix)]
pub mod upgrade;
