//! Session-affinity load balancing that you can embed.
//!
//! A stateful application keeps a session in the memory of one instance, so each request of the session must reach that
//! instance. [`Balancer::pick`] chooses the upstream of one request: it verifies the signed token that the client sends
//! and pins the request to the upstream named there, or lets a [`Policy`] place the session and returns the token to
//! set.
//!
//! # What the core does not do
//!
//! It opens no socket, reads no clock, starts no thread and reads no environment variable: the time comes in with each
//! [`Request`], randomness through [`rng::Entropy`]. All I/O is in adapters on top of it, each a feature of this crate:
//!
//! | feature | what it adds |
//! |---|---|
//! | *(none)* | the core: [`balancer`], [`cluster`], [`policy`], [`affinity`], [`health`] |
//! | `http` | cookies and client addresses, on borrowed header bytes |
//! | `config` | configuration files and key files |
//! | `hyper` | affinity around any client service of tower, hyper-util or axum |
//! | `proxy` | the data plane: a reverse proxy for HTTP/1.1 and HTTP/2 |
//! | `serde` | `Serialize` and `Deserialize` of types that are stored in files and messages |
//! | `testing` | the conformance suite of placement policies, for tests |
//!
//! # What always holds
//!
//! - A pick reads one snapshot: cluster, policy, affinity and all other settings are behind one pointer, and no pick
//!   sees two that disagree. Counts are outside the snapshot and outlive it.
//! - A pick takes no lock and allocates nothing (`tests/core/allocations.rs`); see [`cluster`] for the exception.
//! - A limit of requests in flight is exact: it is never exceeded, and no request is refused while there is room.
//! - A pin is broken only on proof that its upstream cannot serve, or by an operator's removal or drain; the failover
//!   target is the same on every proxy. See [`health`]. Moves of sessions for other reasons (from full upstreams, and
//!   rebalancing) have to be configured.
//! - Nothing in a token is used before its tag is verified, in constant time.
//!
//! # Example
//!
//! ```
//! use homing::{Affinity, Balancer, Decision, KeyRing, Request, Timestamp, UpstreamConfig};
//!
//! let keys = KeyRing::generate("shop")?;
//! let balancer = Balancer::builder()
//!     .upstream(UpstreamConfig::new("app-1", "10.0.0.1:8080"))
//!     .upstream(UpstreamConfig::new("app-2", "10.0.0.2:8080"))
//!     .policy("least_conn")
//!     .affinity(Affinity::builder(keys).build()?)
//!     .build()?;
//!
//! // A first visit is placed, and the client is given a token.
//! let now = Timestamp::from_secs(1_700_000_000);
//! let first = balancer.pick(&Request::new(now))?;
//! let token = first.token.as_ref().expect("a first visit sets a token");
//!
//! // With the token the next request goes to the same upstream.
//! let again = balancer.pick(&Request::new(now).tokens(&[token.as_bytes()]))?;
//! assert_eq!(again.decision, Decision::Pinned);
//! assert_eq!(again.upstream().name(), first.upstream().name());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod affinity;
pub mod balancer;
pub mod cluster;
#[cfg(feature = "config")]
pub mod config;
mod hash;
pub mod health;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "hyper")]
pub mod hyper;
pub mod policy;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod rng;
mod settings;
mod sync;
pub mod time;

pub use affinity::{Affinity, KeyRing, OnFull, OnRestart, OnUnavailable, Token};
pub use balancer::{Balancer, BuildError, Pick, PickError, Picker, Request, Wait};
pub use cluster::{
    Availability, Change, Cluster, Decision, Generation, Lease, PinLoss, Plan, SessionGuard, Sketch, SketchError,
    Upstream, UpstreamConfig,
};
pub use health::HealthSettings;
pub use policy::Policy;
pub use time::Timestamp;

/// The README's Rust runs as written.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
