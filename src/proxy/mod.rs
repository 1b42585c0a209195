//! The adapter: forwards each request to the upstream that a [`Balancer`](crate::Balancer) picks, and brings sessions back
//! by a signed cookie.
//!
//! HTTP/1.1 and HTTP/2 come in, HTTP/1.1 goes out over kept-alive connections. [`Proxy::serve`] serves a connection:
//! HTTP/1.1 by a codec of its own, HTTP/2 by [hyper](https://hyper.rs). For those who run hyper's server themselves there
//! is a service, [`Proxy::service`]. Bodies stream both ways with
//! back-pressure; upgrades (WebSocket) become tunnels once the upstream has said 101.
//!
//! ```no_run
//! use homing::proxy::{Protocol, Proxy};
//! use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let balancer = Balancer::builder()
//!     .upstream(UpstreamConfig::new("app-1", "127.0.0.1:9001"))
//!     .upstream(UpstreamConfig::new("app-2", "127.0.0.1:9002"))
//!     .affinity(Affinity::builder(KeyRing::generate("app")?).build()?)
//!     .build()?;
//! let proxy = Proxy::new(balancer);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! loop {
//!     let (stream, peer) = listener.accept().await?;
//!     let proxy = proxy.clone();
//!     tokio::spawn(async move { proxy.serve(stream, peer, Protocol::Clear, std::future::pending()).await });
//! }
//! # }
//! ```
//!
//! # Upstreams in trouble
//!
//! [`Proxy::run_health_checks`] is a future that looks after the upstreams: spawn it beside the loop above. While it runs, requests
//! report how they fared, upstreams are probed where [`ProbeSettings`] say how, and those that fail take no more
//! sessions until they are well again (see [`health`](crate::health)). Without it nobody is judged.
//!
//! A request that finds every upstream at its limit waits for a place, first come, first served: [`QueueSettings`]. One
//! that an upstream turned away is tried on another where nothing of it was sent, or where it is idempotent and nothing
//! came back, as far as the budget of [`RetrySettings`] goes. Only a kept-alive connection that turns out to be closed is
//! replaced by a fresh one to the same upstream (the race of RFC 9112, section 9.3.1): going elsewhere would lose the session.
//!
//! # What it does not do
//!
//! It caches nothing, rewrites no path, compresses nothing and speaks no HTTP/2 to upstreams. Informational
//! responses other than `100 Continue` end here. An upstream's response may have a
//! head of up to 64 KiB with up to 100 fields.

mod access_log;
mod downstream;
mod exchange;
#[cfg(any(test, fuzzing))]
#[allow(clippy::panic, reason = "a finding is a panic")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod http1;
mod io;
mod local_reply;
mod proxy;
mod settings;
mod tunnel;
mod upstream;

pub use access_log::ACCESS_TARGET;
pub use downstream::serve::Protocol;
pub use downstream::service::ProxyService;
pub use exchange::response_body::ResponseBody;
pub use exchange::retry_budget::RetryBudget;
pub use health::checker::HEALTH_TARGET;
pub use http1::Malformed;
pub use local_reply::{LocalReply, LocalReplyCounts};
pub use proxy::{OtherBalancer, Proxy, ProxyBuilder};
pub use settings::{Limits, ProbeProfile, ProbeSettings, QueueSettings, RetrySettings, Timeouts};
pub use upstream::error::{BodyError, UploadError};
pub use upstream::statistics::Traffic;
