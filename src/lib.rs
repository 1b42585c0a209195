//! Session-affinity load balancing that you can embed.
//!
//! A stateful application needs each user back at the instance that holds their session. [`Balancer::pick`]
//! decides that for one request: it verifies the signed token the client carries and pins the request to the
//! upstream named there, or lets a [`Policy`] place the session and says which token to set.
//!
//! # What the core does not do
//!
//! It opens no socket, reads no clock, starts no thread and looks at no environment: the time comes in with
//! each [`Request`], randomness through [`rng::Entropy`]. Everything that touches the world is an adapter on
//! top of it, and each adapter is a feature of this crate:
//!
//! | feature | what it adds |
//! |---|---|
//! | *(none)* | the core: [`balancer`], [`cluster`], [`policy`], [`affinity`], [`health`] |
//! | `http` | cookies and client addresses, on borrowed header bytes |
//! | `config` | configuration files and key files |
//! | `proxy` | a [hyper](https://hyper.rs) service that forwards to the picked upstream |
//! | `serde` | `Serialize` and `Deserialize` of what goes into files and messages |
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
//! // With the token the client comes back to the same upstream.
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
pub mod policy;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod rng;
mod sync;
pub mod time;

pub use affinity::{Affinity, KeyRing, OnFull, OnRestart, OnUnavailable, Token};
pub use balancer::{Balancer, BuildError, Pick, PickError, Request, Wait};
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
