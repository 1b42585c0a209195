//! The data plane: forwards each request to the upstream that a [`Balancer`](crate::Balancer) picks, and keeps
//! sessions there by a signed cookie.
//!
//! HTTP/1.1 and HTTP/2 come in, HTTP/1.1 goes out over kept-alive connections. [`Proxy::serve`] serves a connection:
//! HTTP/1.1 by a codec of its own, HTTP/2 by [hyper](https://hyper.rs). For programs that run hyper's server
//! themselves there is a service, [`Proxy::service`]. Bodies stream both ways with back-pressure; upgrades
//! (WebSocket) become tunnels once the upstream has sent 101.
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
//! # Failing upstreams
//!
//! [`Proxy::run_health_checks`] is a future to spawn beside the loop above. While it runs, requests report their
//! outcomes, upstreams are probed as [`ProbeSettings`] say, and those that fail get no more sessions until they have
//! recovered (see [`health`](crate::health)). Without it no upstream is judged.
//!
//! A request that finds every upstream at its limit waits for a place, first come, first served: [`QueueSettings`].
//! It is tried on another upstream where nothing of it was sent, or where it is idempotent, has no body and nothing
//! came back, as far as the budget of [`RetrySettings`] goes; it runs at most twice. Only a kept-alive connection
//! that turns out to be closed is replaced by a fresh one to the same upstream (the race of RFC 9112, section 9.3.1):
//! going elsewhere would lose the session.
//!
//! # What it does not do
//!
//! It caches nothing, rewrites no path, compresses nothing and speaks no HTTP/2 to upstreams. Informational responses
//! other than `100 Continue` are not passed on. An upstream's response may have a head of up to 64 KiB with up to 100
//! fields. It accepts no connections and does no TLS: it is given streams.
//!
//! # The files
//!
//! Rooms by direction, each of which uses only those to the right of it:
//! `downstream → exchange → tunnel → upstream → http1 → io`.
//!
//! In reading order: `proxy` (the builder and the handle), `settings`, `downstream` (serves clients), `exchange` (one
//! request and its response), `tunnel` (after a 101), `upstream` (connections and their pool), `http1` (the codec),
//! `io` (reads, writes, timers), `health` (probes), `local_reply` (responses in the proxy's own name), `access_log`,
//! `fuzzing` (what is checked of any bytes).

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
#[expect(clippy::module_inception, reason = "the type that the folder is named after")]
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
