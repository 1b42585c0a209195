//! Administration over HTTP: the state of every upstream, an event for each change, metrics for Prometheus, and changes
//! that are planned before they are applied.
//!
//! [`Admin`] is for an operator's machine, a dashboard and scripts, never for clients of the application: mount it on
//! an address of its own.
//!
//! ```no_run
//! use homing_gateway::admin::Admin;
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
//! | `GET /api/v1/events` | server-sent events |
//! | `GET /api/v1/history` | live sessions over the last hour, where [`Admin::keep_history`] runs |
//! | `GET /api/v1/openapi.json` | this interface as an OpenAPI document |
//! | `GET /metrics` | Prometheus' text format |
//! | `PUT`, `DELETE /api/v1/upstreams/NAME` | adds, changes or removes one |
//! | `POST /api/v1/upstreams/NAME/drain`, `…/resume` | drains one, optionally with `{"deadline": "10m"}`, and ends the drain |
//! | `PUT /api/v1/upstreams/NAME` with `"ttl": "15s"` | registers an instance, for as long as it sends heartbeats |
//! | `POST /api/v1/upstreams/NAME/heartbeat`, `…/deregister` | renews a registration and reports; ends it |
//! | `POST /api/v1/plan` | explains changes and makes none |
//! | `POST /api/v1/apply` | makes them, all or none, where the generation is still the one expected |
//! | `POST /api/v1/keys/rotate` | puts the keys in force that [`AdminBuilder::keys`] reads |
//!
//! A refusal is a problem document (RFC 9457): its `code` is for programs, and its `detail` says what to do. Every
//! change is one line of the log, of target [`AUDIT_TARGET`].
//!
//! # Which requests are admitted
//!
//! With a [`BearerToken`], those that send it; the dashboard is served without, since it has no data and is the page
//! that asks for the token. Without a token, those from a loopback address that name a loopback host: a page in a
//! browser on this machine, whose name was rebound to 127.0.0.1, names its own host. Changes that a browser sends for a
//! page of another origin are refused by `Origin` and `Sec-Fetch-Site`, and `POST` and `PUT` need
//! `Content-Type: application/json`, which no form can send. There are no CORS headers.
//!
//! # What it does not do
//!
//! It speaks no TLS: beyond loopback the token travels in the clear unless a proxy in front encrypts. It saves no
//! changes: the [`Roster`](crate::roster::Roster) does, through which it makes them; where instances register
//! themselves, the host has to [tick](crate::roster::Roster::tick) that roster.
//!
//! # Files
//!
//! In reading order: `api` (HTTP: routes, admission, bodies, responses), `context` (what all connections share),
//! `views` (what is shown) with the dashboard, `changes` (what is changed), `service` (the way of one request),
//! `builder` ([`Admin`]), `connection`, and `server` (an own listener on an own thread).

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
