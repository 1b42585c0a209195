//! What the gateways of a fleet share, in [etcd](https://etcd.io): upstreams, operators' orders, the key ring, what
//! instances report of themselves, and who lives where.
//!
//! Under a prefix (`/homing` unless said otherwise):
//!
//! | key | value | written by |
//! |---|---|---|
//! | `PREFIX/upstreams/NAME` | `{"address": "10.0.0.1:8080", "weight": 1, "max_in_flight": 0}`, the last two by choice | an operator, or the instance itself on a lease: [`EtcdRegistration`] |
//! | `PREFIX/orders/NAME` | an [`Override`](crate::roster::Override) | gateways whose operator changes something: [`EtcdOverrideStore`] |
//! | `PREFIX/keys` | the text of a key file | an operator |
//! | `PREFIX/reports/NAME` | a [`InstanceReport`](crate::roster::InstanceReport) | the instance, on its lease |
//! | `PREFIX/live/GATEWAY/NAME` | a [`Sketch`](homing::Sketch) | each gateway, on its lease: [`LiveSessionsPublisher`] |
//!
//! [`EtcdSource`] reads all of it, watches it from there on, and reads it again where the watch broke off or fell behind what
//! etcd still knows. A value that is wrong is an error that names its key, and the last good one of that key holds.
//!
//! etcd is spoken to over its JSON interface (`/v3/…`, etcd 3.4 and later), which every member serves beside gRPC unless it
//! was started with `--enable-grpc-gateway=false`. One call is one connection.

mod client;
mod key;
mod lease;
mod lines;
mod message;
mod presence;
mod registration;
mod source;
mod store;
mod tls;

pub use client::{EtcdClient, EtcdError, EtcdSettings, EtcdSettingsError, is_endpoint};
pub use key::KeyPrefix;
pub use presence::LiveSessionsPublisher;
pub use registration::EtcdRegistration;
pub use source::EtcdSource;
pub use store::EtcdOverrideStore;
