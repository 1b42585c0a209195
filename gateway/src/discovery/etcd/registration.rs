//! An instance that puts itself there.

use super::client::{EtcdClient, EtcdError};
use super::key::{FleetKey, KeyPrefix};
use super::lease::EtcdLease;
use super::message;
use crate::roster::InstanceReport;
use homing::cluster::UpstreamConfig;
use serde_json::json;
use std::time::Duration;

/// An upstream on a lease: it is there as long as it is [refreshed](Self::refresh), and gone from all gateways when it was
/// not for its TTL.
///
/// Any client of etcd can do the same: `etcdctl lease grant 15`, `etcdctl put --lease=ID /homing/upstreams/app-1
/// '{"address": "10.0.0.1:8080"}'`, `etcdctl lease keep-alive ID`.
#[derive(Debug)]
pub struct EtcdRegistration {
    client: EtcdClient,
    lease: EtcdLease,
    upstream: (String, String),
    report: String,
    said: Option<InstanceReport>,
}

impl EtcdRegistration {
    /// Of this upstream, which is not there before it is refreshed. A `ttl` of less than a second is one second.
    #[must_use]
    pub fn new(client: EtcdClient, prefix: &KeyPrefix, upstream: &UpstreamConfig, ttl: Duration) -> Self {
        let UpstreamConfig { name, address, weight, max_in_flight, .. } = upstream;
        let value = json!({"address": address, "weight": weight, "max_in_flight": max_in_flight}).to_string();
        let lease = EtcdLease::new(client.clone(), ttl);
        let key = prefix.full(FleetKey::Upstream(name));
        Self { client, lease, upstream: (key, value), report: prefix.full(FleetKey::Report(name)), said: None }
    }

    /// Says that the instance is there and, with a report, how it is. To be called at least three times a TTL.
    ///
    /// # Errors
    /// [`EtcdError`]. The next call makes good for it.
    pub async fn refresh(&mut self, report: Option<InstanceReport>) -> Result<(), EtcdError> {
        let held = self.lease.hold().await?;
        let mut parts = Vec::new();
        if held.is_new {
            parts.push(message::put(&self.upstream.0, &self.upstream.1, Some(held.id)));
        }
        if let Some(report) = report.filter(|report| held.is_new || self.said.as_ref() != Some(report)) {
            parts.push(message::put(&self.report, json!(report).to_string(), Some(held.id)));
        }
        if parts.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.client.change(&parts).await {
            // Whether it is there is not known: it is put there again.
            self.lease.lost();
            return Err(error);
        }
        self.said = report;
        Ok(())
    }

    /// Goes at once. Whoever drops it goes when the TTL is over.
    ///
    /// # Errors
    /// [`EtcdError`], and then it goes when the TTL is over.
    pub async fn leave(mut self) -> Result<(), EtcdError> {
        self.lease.revoke().await
    }
}
