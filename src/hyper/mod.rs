//! Session affinity around any HTTP client service: hyper-util's client, a tower stack, reqwest behind a small service,
//! or services in this process.
//!
//! [`Sticky`] is a service around a service. For each request it
//!
//! 1. reads the token from the `Cookie` headers and removes that cookie;
//! 2. picks the upstream, and sets scheme and authority of the URI to its address (`Host` stays the client's);
//! 3. calls the client service, with the upstream in the request's extensions ([`Picked`]);
//! 4. reports the outcome, so that the next pick avoids an upstream that refused the connection;
//! 5. appends `Set-Cookie` where the client needs a token;
//! 6. returns the response with a body that holds the lease ([`LeaseBody`]): the request is in flight until the last
//!    byte.
//!
//! ```
//! use homing::hyper::Sticky;
//! use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{Service, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let balancer = Balancer::builder()
//!     .upstream(UpstreamConfig::new("app-1", "10.0.0.1:8080"))
//!     .upstream(UpstreamConfig::new("app-2", "10.0.0.2:8080"))
//!     .affinity(Affinity::builder(KeyRing::generate("shop")?).build()?)
//!     .build()?;
//!
//! // In place of hyper-util's client: it responds with the authority that it is asked for.
//! let client = tower::service_fn(async |request: Request<String>| {
//!     Ok::<_, Infallible>(Response::new(request.uri().authority().expect("an upstream's").to_string()))
//! });
//! let mut sticky = Sticky::new(balancer, client);
//!
//! // A first visit is given a cookie.
//! let first = sticky.ready().await?.call(Request::new(String::new())).await?;
//! let cookie = first.headers()["set-cookie"].to_str()?.split(';').next().expect("a cookie").to_owned();
//!
//! // With it, the next request goes to the same upstream.
//! let again = Request::builder().header("cookie", cookie).body(String::new())?;
//! let again = sticky.ready().await?.call(again).await?;
//! assert_eq!(again.body().get_ref(), first.body().get_ref());
//! # Ok(())
//! # }
//! ```
//!
//! `examples/own_client.rs` has hyper-util's client with streamed bodies, `examples/tower.rs` a stack of tower's
//! layers.
//!
//! # What it does not do
//!
//! - **Connect.** It has no connections, no pool, no TLS and no timeouts: they are the client's.
//! - **Retry.** A request that fails is not sent again: only the host knows whether it may be, and the body is gone.
//!   The failure is reported, so that the next pick avoids an upstream that refused it; that may be a pick of tower's
//!   `Retry` around this service. A host that calls [`Balancer::pick`](crate::Balancer::pick) itself names the
//!   upstreams that already failed ([`Request::tried`](crate::Request::tried)).
//! - **Queue.** Its `poll_ready` is pending while every upstream that accepts sessions is at its limit, however long
//!   that takes; a lease that ends wakes it. tower's `LoadShed` around it rejects such requests instead; `Buffer` makes
//!   a queue of bounded size, and a `Timeout` around that bounds the wait.
//! - **Proxy.** It removes no hop-by-hop fields, adds no forwarding headers and validates nothing.
//!
//! [`proxy`](crate::proxy) does all of that.
//!
//! # Timeouts and health
//!
//! A layer *around* it that drops the response ends the lease, and tells nothing of the upstream: the client may have
//! gone away. A timeout that is to eject an upstream that hangs has to be *within*, where its error is reported, and
//! [`StickyBuilder::outcome`] says what it means.
//!
//! Requests let time pass for the balancer ([`Balancer::tick`](crate::Balancer::tick)), so that ejected upstreams
//! return without a task of this service. Probes are the host's ([`Balancer::probe`](crate::Balancer::probe)), or those
//! of `proxy::Proxy::run_health_checks`.
//!
//! # Upgrades
//!
//! After a `101 Switching Protocols` the lease is in the response's extensions: [`UpgradeLease`].
//!
//! # Files
//!
//! In reading order: `sticky` (the service), `when_ready` (the same for hyper), `builder` and `settings` (its
//! configuration, and the way a request is directed), `response` (what is done with a response), `lease_body`,
//! `picked` and `peer` (extensions of requests and responses), `reporter` (outcomes and time), `error`.

mod builder;
mod error;
mod lease_body;
mod peer;
mod picked;
mod reporter;
mod response;
mod settings;
mod sticky;
#[cfg(test)]
mod tests;
mod when_ready;

pub use builder::StickyBuilder;
pub use error::{BoxError, StickyError, outcome_of};
pub use lease_body::LeaseBody;
pub use peer::Peer;
pub use picked::{Picked, UpgradeLease};
pub use response::ResponseFuture;
pub use sticky::Sticky;
pub use when_ready::WhenReady;
