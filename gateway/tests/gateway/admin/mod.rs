//! The administration: in this process over real sockets, and as the gateway serves it.

mod access;
mod changes;
mod dashboard;
mod events;
mod figures;
mod host;
mod instances;
mod metrics;
mod program;
