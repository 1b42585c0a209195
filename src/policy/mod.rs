//! Placement policies: which upstream a session without a pin is placed on.
//!
//! A policy sees only sessions that no token pins; affinity wraps a policy and is never one. It reads the cluster
//! (weights, limits, availability, load) and the [`Session`](crate::cluster::Session), and returns the index of a
//! member. It takes no lease, counts nothing, and knows neither tokens nor health checks.
//!
//! To add a policy: a file here with its parameters, a line in [`registry`], and `conforms!` in its tests, which runs
//! the conformance suite on it. A policy outside of this crate is given to
//! [`BalancerBuilder::policy_with`](crate::balancer::BalancerBuilder::policy_with), and its tests run the same suite,
//! which the feature `testing` makes public.
//!
//! Files, in reading order:
//!
//! - `policy.rs`: the trait [`Policy`]; `params.rs`: parameters as text; `registry.rs`: policies by name.
//! - By turns or chance: `round_robin.rs`, `random.rs`.
//! - By load: `p2c.rs`, `least_conn.rs` with `least_conn/ordered.rs`, `peak_ewma.rs`, `least_sessions.rs`.
//! - By key: `key.rs` (the key of a session), `rounds.rs` (nginx's retries), `ip_hash.rs`, `hash.rs` with `crc32.rs`,
//!   `ring.rs` with `ketama.rs` and `chash.rs`, `maglev.rs`, and `rendezvous/`.
//! - Tests: `conformance.rs` (what holds of every policy; feature `testing`), `vectors.rs` (placements recorded from nginx, HAProxy and
//!   Envoy).
//!
//! # Fidelity
//!
//! Placements that claim to be nginx's, HAProxy's or Envoy's are frozen by tests whose expectations those programs
//! produced. They hold within the other program's own range:
//!
//! - `ketama` scales its points down above 4 Mi (weights that sum up to 26,214), and `chash` above that or above weight
//!   256, which HAProxy refuses.
//! - Where nginx's tries run out and some upstreams are down, the turns that follow come in our order.
//! - `chash` keys by address or session id what HAProxy would place in turns.
//! - `maglev` keeps its table while an upstream is down, where Envoy builds another: only the keys of that upstream
//!   move.

mod chash;
mod crc32;
mod hash;
mod ip_hash;
mod ketama;
mod key;
mod least_conn;
mod least_sessions;
mod maglev;
mod p2c;
mod params;
mod peak_ewma;
#[expect(clippy::module_inception, reason = "the trait that the folder is named after")]
mod policy;
mod random;
mod registry;
mod rendezvous;
mod ring;
mod round_robin;
mod rounds;

#[cfg(any(test, feature = "testing"))]
#[allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a broken rule is a panic")]
pub mod conformance;
#[cfg(test)]
mod vectors;

pub use chash::Chash;
pub use hash::KeyHash;
pub use ip_hash::IpHash;
pub use ketama::Ketama;
pub use least_conn::LeastConn;
pub use least_sessions::LeastSessions;
pub use maglev::Maglev;
pub use p2c::P2c;
pub use params::{ParamError, Params};
pub use peak_ewma::PeakEwma;
pub use policy::{Factory, Policy};
pub use random::Random;
pub use registry::{PolicyEntry, UnknownPolicy, find, registry};
pub use rendezvous::Rendezvous;
pub use round_robin::RoundRobin;

pub(crate) use key::point;
