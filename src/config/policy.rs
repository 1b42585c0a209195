//! The table `[policy]`.

use super::value;
use crate::http::RequestKey;
use crate::policy::Params;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[policy]`: how new sessions are placed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// The policy's name, one of [`registry`](crate::policy::registry)'s. Default: `least_conn`.
    pub name: String,
    /// The part of a request that a hash policy hashes. Default: `client_ip`.
    #[serde(deserialize_with = "value::parsed")]
    pub key: RequestKey,
    /// The policy's own parameters by name: integers, floats, strings or booleans.
    #[serde(flatten)]
    pub params: BTreeMap<String, toml::Value>,
}

impl Policy {
    /// The parameters as text, as the policy takes them.
    #[must_use]
    pub fn params(&self) -> Params {
        self.params.iter().fold(Params::new(), |params, (name, value)| match value {
            toml::Value::String(text) => params.with(name, text),
            other => params.with(name, other),
        })
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { name: "least_conn".to_owned(), key: RequestKey::default(), params: BTreeMap::new() }
    }
}
