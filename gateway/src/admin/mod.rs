//! Watching and changing a balancer over HTTP: what every upstream does, an event for each change, metrics for
//! Prometheus, and changes that are planned before they are applied.
//!
//! [`Admin`] is for an operator's machine, a dashboard and scripts, never for clients of the application: mount it on an
//! address of its own.
//!
//! ```no_run
//! use homing::admin::Admin;
//! use homing::proxy::Proxy;
//! use homing::{Balancer, UpstreamConfig};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let balancer = Balancer::builder().upstream(UpstreamConfig::new("app-1", "127.0.0.1:9001")).build()?;
//! let proxy = Proxy::new(balancer);
//! let admin = Admin::builder(&proxy).build();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:9090").await?;
//! loop {
//!     let (stream, peer) = listener.accept().await?;
//!     let admin = admin.clone();
//!     tokio::spawn(async move { admin.serve(stream, peer, std::future::pending()).await });
//! }
//! # }
//! ```
//!
//! # Routes
//!
//! | | |
//! |---|---|
//! | `GET /` | the dashboard, a page for people |
//! | `GET /api/v1/upstreams` | all upstreams with their states and counters |
//! | `GET /api/v1/upstreams/NAME` | one of them |
//! | `GET /api/v1/events` | server-sent events, as they happen |
//! | `GET /api/v1/history` | live sessions over the last hour, where [`Admin::keep_history`] runs |
//! | `GET /api/v1/openapi.json` | this interface as an OpenAPI document |
//! | `GET /metrics` | Prometheus' text format |
//! | `PUT`, `DELETE /api/v1/upstreams/NAME` | adds, changes or removes one |
//! | `POST /api/v1/upstreams/NAME/drain`, `…/resume` | empties one, with `{"deadline": "10m"}` if need be, and ends that |
//! | `PUT /api/v1/upstreams/NAME` with `"ttl": "15s"` | an instance registers itself, and is there as long as it is heard of |
//! | `POST /api/v1/upstreams/NAME/heartbeat`, `…/deregister` | it is there, and says how it is; it goes |
//! | `POST /api/v1/plan` | explains changes and makes none |
//! | `POST /api/v1/apply` | makes them, all or none, where the generation is still the one expected |
//! | `POST /api/v1/keys/rotate` | takes over the keys as [`AdminBuilder::keys`] reads them now |
//!
//! Whatever is refused is answered with a problem document (RFC 9457) whose `code` is for programs and whose `detail`
//! says what to do. Every change is written to [`AUDIT_TARGET`] in one line.
//!
//! # Who is let in
//!
//! With a [`BearerToken`], whoever sends it; the dashboard, which holds no data, asks for it. Without one, only who connects from a loopback address and names a loopback
//! host: a page in a browser on that machine, whose name was rebound to 127.0.0.1, names its own. Changes that a browser sends
//! for a page of another origin are refused by `Origin` and `Sec-Fetch-Site`, and `POST` and `PUT` have to say
//! `Content-Type: application/json`, which no form can. There are no CORS headers, ever.
//!
//! # What it does not do
//!
//! It speaks no TLS: beyond loopback the token travels in the clear unless something in front encrypts. It keeps no
//! changes itself: that is up to the [`Roster`](crate::roster::Roster) that it makes them through, and to whoever lets
//! that one's time [pass](crate::roster::Roster::tick) where instances register themselves.

mod api;
mod builder;
mod changes;
mod connection;
mod context;
mod server;
mod service;
mod views;

pub use api::body::AdminBody;
pub use api::token::{BearerToken, TokenError};
pub use builder::{Admin, AdminBuilder, AdminTarget};
pub use changes::audit::AUDIT_TARGET;
pub use server::{AdminServer, RunningAdmin};
pub use service::AdminService;
