//! A seeded simulation of a pool: hours of virtual time in which processes crash, hang, flap and fail, operators drain,
//! add and remove upstreams, keys rotate and clocks jump, while users send requests through several proxies. No sockets
//! and no real time. The invariants are checked after every step, and each checker has a control that it must catch.
//!
//! ```sh
//! cargo test --test core simulation                                 # a slice of the seeds
//! HOMING_SEEDS=10000 cargo test --release --test core simulation -- --nocapture   # many, with a summary
//! HOMING_SEED=7 cargo test --test core simulation -- --nocapture              # one, with a log of all events
//! ```

mod controls;
mod dice;
mod exchange;
mod fleet;
mod host;
mod invariants;
mod picks;
mod probing;
mod proxy;
mod runs;
mod scenario;
mod session;
mod tally;
mod trouble;
mod witness;
mod world;
