//! What the gateways of a fleet share, in [etcd](https://etcd.io): upstreams, overrides, the key ring, reports of
//! instances, and the live sessions of each upstream.
//!
//! Under a prefix (`/homing` unless said otherwise):
//!
//! - `PREFIX/upstreams/NAME`: `{"address": "10.0.0.1:8080", "weight": 1, "max_in_flight": 0}`, the last two optional; written
//!   by an operator, or by the instance itself on a lease ([`EtcdRegistration`]);
//! - `PREFIX/orders/NAME`: an [`Override`](crate::roster::Override), written by the gateway where an operator changes
//!   something ([`EtcdOverrideStore`]);
//! - `PREFIX/keys`: the text of a key file, written by an operator;
//! - `PREFIX/reports/NAME`: an [`InstanceReport`](crate::roster::InstanceReport), written by the instance, on its lease;
//! - `PREFIX/live/GATEWAY/NAME`: a [`Sketch`](homing::Sketch), written by each gateway, on its lease
//!   ([`LiveSessionsPublisher`]).
//!
//! [`EtcdSource`] reads all of it, watches it from that revision on, and reads it again where the watch ended or its
//! revision was compacted. A wrong value is an error that names its key, and the last good value of that key stays in
//! force.
//!
//! Calls use the JSON interface (`/v3/…`, etcd 3.4 and later), which every member serves beside gRPC unless it
//! was started with `--enable-grpc-gateway=false`. One call is one connection.
//!
//! The client is our own, on crates that the gateway has anyway: the crate `etcd-client` compiles protobuf definitions
//! when it is built, so that every build would need `protoc`, and brings tonic and a second TLS stack. What it lacks is
//! not needed here: several watches on one stream, and users by certificate.
//!
//! Sketches of live sessions are OR-ed, at most 1032 bytes an upstream: one that arrives late, twice or out of order
//! counts the same.
//!
//! In reading order: `settings`, `error`, `message`, `json_lines`, `tls`, `client`, `key`, `lease`; then what uses
//! them: `source`, `store`, `presence` (live sessions), `registration`.

mod client;
mod error;
mod json_lines;
mod key;
mod lease;
mod message;
mod presence;
mod registration;
mod settings;
mod source;
mod store;
mod tls;

pub use client::EtcdClient;
pub use error::EtcdError;
pub use key::KeyPrefix;
pub use presence::LiveSessionsPublisher;
pub use registration::EtcdRegistration;
pub use settings::{EtcdSettings, EtcdSettingsError, is_endpoint};
pub use source::EtcdSource;
pub use store::EtcdOverrideStore;
