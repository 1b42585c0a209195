//! Placements that claim to be nginx's or HAProxy's, compared with the real programs: random clusters and clients, and
//! no difference in thousands of picks.
//!
//! The programs run on Unix sockets in front of servers that respond with their own address. Randomness comes from a
//! seed, which is printed; `HOMING_SEED=N cargo test -p homing-gateway --test programs oracles` runs it again.

mod case;
mod haproxy;
mod nginx;
mod servers;
