//! What the gateways of a fleet share, in [etcd](https://etcd.io): upstreams, operators' orders, the key ring, what
//! instances report of themselves, and who lives where.
//!
//! Under a prefix (`/homing` unless said otherwise):
//!
//! | key | value | written by |
//! |---|---|---|
//! | `PREFIX/upstreams/NAME` | `{"address": "10.0.0.1:8080", "weight": 1, "max_in_flight": 0}`, the last two by choice | an operator, or the instance itself on a lease: [`Registration`] |
//! | `PREFIX/orders/NAME` | an [`Order`](crate::roster::Order) | gateways whose operator changes something: [`OrderStore`] |
//! | `PREFIX/keys` | the text of a key file | an operator |
//! | `PREFIX/reports/NAME` | a [`Report`](crate::roster::Report) | the instance, on its lease |
//! | `PREFIX/live/GATEWAY/NAME` | a [`Sketch`](homing::Sketch) | each gateway, on its lease: [`Presence`] |
//!
//! [`Source`] reads all of it, watches it from there on, and reads it again where the watch broke off or fell behind what
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

pub use client::{Client, EtcdError, Settings, SettingsError, is_endpoint};
pub use key::Prefix;
pub use presence::Presence;
pub use registration::Registration;
pub use source::Source;
pub use store::OrderStore;
