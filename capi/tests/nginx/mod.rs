//! The nginx module in the real nginx: several workers, reloads, upstreams that die, and the gateway with the same
//! keys.
//!
//! Each test starts an nginx of its own from a temporary directory. `examples/nginx/build` builds the module first,
//! unless `HOMING_NGINX_MODULE` names one; `HOMING_NGINX` is another nginx than the installed one, which that module is
//! built for.

mod backup;
mod config;
mod cookies;
mod failover;
mod interchange;
mod ip_hash;
mod reload;
mod server;
mod status;
mod stickiness;
