//! An instance that registers itself in etcd.

use super::client::EtcdClient;
use super::error::EtcdError;
use super::key::{FleetKey, KeyPrefix};
use super::lease::EtcdLease;
use super::message;
use crate::roster::InstanceReport;
use homing::cluster::UpstreamConfig;
use serde_json::json;
use std::time::Duration;

/// An upstream on a lease: all gateways have it for as long as it is [refreshed](Self::refresh), and remove it after a
/// TTL without.
///
/// Any client of etcd can do the same: `etcdctl lease grant 15`, `etcdctl put --lease=ID /homing/upstreams/app-1
/// '{"address": "10.0.0.1:8080"}'`, `etcdctl lease keep-alive ID`.
#[derive(Debug)]
pub struct EtcdRegistration {
    client: EtcdClient,
    lease: EtcdLease,
    upstream: (String, String),
    report: String,
    published: Option<InstanceReport>,
}

impl EtcdRegistration {
    /// A registration of this upstream, which begins with the first refresh. A `ttl` of less than a second is one
    /// second.
    #[must_use]
    pub fn new(client: EtcdClient, prefix: &KeyPrefix, upstream: &UpstreamConfig, ttl: Duration) -> Self {
        let UpstreamConfig { name, address, weight, max_in_flight, .. } = upstream;
        let value = json!({"address": address, "weight": weight, "max_in_flight": max_in_flight}).to_string();
        let lease = EtcdLease::new(client.clone(), ttl);
        let key = prefix.full(FleetKey::Upstream(name));
        Self { client, lease, upstream: (key, value), report: prefix.full(FleetKey::Report(name)), published: None }
    }

    /// Renews the registration and publishes a report, if any. To be called at least three times a TTL.
    ///
    /// # Errors
    /// [`EtcdError`]. The next call does what this one did not.
    pub async fn refresh(&mut self, report: Option<InstanceReport>) -> Result<(), EtcdError> {
        let held = self.lease.hold().await?;
        let mut operations = Vec::new();
        if held.is_new {
            operations.push(message::put(&self.upstream.0, &self.upstream.1, Some(held.id)));
        }
        if let Some(report) = report.filter(|report| held.is_new || self.published.as_ref() != Some(report)) {
            operations.push(message::put(&self.report, json!(report).to_string(), Some(held.id)));
        }
        if operations.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.client.change(&operations).await {
            // Whether etcd has the keys is not known: they are put again, on a new lease.
            self.lease.lost();
            return Err(error);
        }
        self.published = report;
        Ok(())
    }

    /// Ends the registration at once. Dropping it ends it after the TTL.
    ///
    /// # Errors
    /// [`EtcdError`], and then it ends after the TTL.
    pub async fn leave(mut self) -> Result<(), EtcdError> {
        self.lease.revoke().await
    }
}
