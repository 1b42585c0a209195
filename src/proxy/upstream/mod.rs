//! The upstream's side: connections, the pool that keeps them, request bodies on their way, and what is counted.

pub(crate) mod connection;
pub(crate) mod metered;
pub(crate) mod pool;
pub(crate) mod statistics;
pub(crate) mod upload;
