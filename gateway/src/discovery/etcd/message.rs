//! The messages of etcd, as far as they are used. Its JSON has 64-bit numbers as strings and bytes in base64, and omits
//! zeros.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Int64(pub(super) i64);

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(deserializer)? {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        number.map(Self).ok_or_else(|| D::Error::custom("not a number"))
    }
}

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Base64Bytes(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

/// A key or a value in base64.
pub(super) fn bytes(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ResponseHeader {
    pub(super) revision: Int64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyValue {
    pub(super) key: Base64Bytes,
    pub(super) value: Base64Bytes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RangeResponse {
    pub(super) header: ResponseHeader,
    pub(super) kvs: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TxnResponse {
    pub(super) header: ResponseHeader,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LeaseResponse {
    #[serde(rename = "ID")]
    pub(super) id: Int64,
    /// Seconds; zero for a lease that no longer exists.
    #[serde(rename = "TTL")]
    pub(super) ttl: Int64,
}

/// A response of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamedResult<T> {
    pub(super) result: T,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchResponse {
    pub(super) header: ResponseHeader,
    pub(super) canceled: bool,
    pub(super) events: Vec<WatchEvent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchEvent {
    #[serde(rename = "type")]
    pub(super) kind: WatchEventKind,
    pub(super) kv: KeyValue,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum WatchEventKind {
    #[default]
    Put,
    Delete,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenResponse {
    pub(super) token: String,
}

/// An error of etcd.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GrpcStatus {
    /// The status code of gRPC.
    pub(super) code: u32,
    pub(super) message: String,
}

/// An operation of a transaction: sets a key.
pub(super) fn put(key: &str, value: impl AsRef<[u8]>, lease: Option<Int64>) -> Value {
    json!({"request_put": {"key": bytes(key), "value": bytes(value), "lease": lease.unwrap_or_default()}})
}

/// An operation of a transaction: deletes a key.
pub(super) fn delete(key: &str) -> Value {
    json!({"request_delete_range": {"key": bytes(key)}})
}
