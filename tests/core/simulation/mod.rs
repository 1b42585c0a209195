//! The life of a pool, from one seed: hours of virtual time in which processes crash, hang, flap and fail, operators
//! drain, add and remove, keys rotate and clocks jump, while users come and go through several proxies. No sockets and
//! no real time. What must always hold is held against every step, and every checker has a control that it must catch.
//!
//! ```sh
//! cargo test --test core simulation                                 # a slice of the seeds
//! HOMING_SEEDS=10000 cargo test --release --test core simulation -- --nocapture   # many, with a summary
//! HOMING_SEED=7 cargo test --test core simulation -- --nocapture              # one, with everything told
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
