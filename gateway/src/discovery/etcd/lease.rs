//! A lease: keys on it are deleted when it is not renewed.

use super::client::EtcdClient;
use super::error::EtcdError;
use super::message::{Int64, LeaseResponse, StreamedResult};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// A lease that is granted when it is needed, and again when it was lost.
#[derive(Debug)]
pub(super) struct EtcdLease {
    client: EtcdClient,
    ttl: Duration,
    held: Option<(Int64, Instant)>,
}

/// A lease in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLease {
    pub(super) id: Int64,
    /// It was just granted: no key is on it.
    pub(super) is_new: bool,
}

impl EtcdLease {
    /// A lease of `ttl`, of which etcd takes whole seconds.
    pub(super) fn new(client: EtcdClient, ttl: Duration) -> Self {
        Self { client, ttl, held: None }
    }

    /// The lease, granted or renewed where needed. To be called at least three times a TTL: it is renewed when a third
    /// is over.
    pub(super) async fn hold(&mut self) -> Result<HeldLease, EtcdError> {
        if let Some((id, renewed)) = self.held {
            if renewed.elapsed() < self.ttl / 3 {
                return Ok(HeldLease { id, is_new: false });
            }
            let answer: StreamedResult<LeaseResponse> =
                self.client.call("/v3/lease/keepalive", &json!({"ID": id})).await?;
            if answer.result.ttl.0 > 0 {
                self.held = Some((id, Instant::now()));
                return Ok(HeldLease { id, is_new: false });
            }
        }
        self.held = None;
        let seconds = Int64(i64::try_from(self.ttl.as_secs().max(1)).unwrap_or(i64::MAX));
        let answer: LeaseResponse = self.client.call("/v3/lease/grant", &json!({"TTL": seconds})).await?;
        self.held = Some((answer.id, Instant::now()));
        Ok(HeldLease { id: answer.id, is_new: true })
    }

    /// Another call has found that the lease no longer exists.
    pub(super) fn lost(&mut self) {
        self.held = None;
    }

    /// Revokes the lease, which deletes the keys on it.
    pub(super) async fn revoke(&mut self) -> Result<(), EtcdError> {
        match self.held.take() {
            Some((id, _)) => {
                self.client.call("/v3/lease/revoke", &json!({"ID": id})).await.map(|_: serde_json::Value| ())
            }
            None => Ok(()),
        }
    }
}
